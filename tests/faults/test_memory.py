"""A batch that is larger than memory: one sentence, and what it advises fits under the same limit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from allears.errors import is_memory_error
from allears.params.pretrain import BatchParams
from allears.params.spec_pretrain import PretrainSpec
from allears.process.launch import tuning
from allears.process.spec_file import write_spec
from allears.storage.files import read_json
from allears.training.memory import _sentence, out_of_memory
from tests.pretraining import make_spec, tiny
from tests.support import make_shards

# The limit counts from what the imports map, which differs from machine to machine; threads come on top of them.
CHILD = """
import resource, sys
from pathlib import Path
import torch._dynamo
from allears.training import pretrain, run
status = Path("/proc/self/status").read_text()
limit = 1024 * int(status.split("VmSize:")[1].split()[0]) + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(run.main(sys.argv[1:2]))
"""
ENCODER = {"width": 144, "blocks": 8, "ffn_width": 576, "log_mel": {"stack": 2}}
ADVICE = re.compile(
    r"^the device has not enough memory for a micro-batch of \d+ clips \(140 s\); about (\d+) % of it fits: set "
    r"pretrain\.batch\.seconds to ([\d.]+), and multiply pretrain\.batch\.micro_batches by (\d+) for the same audio "
    r"per update$"
)
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")


def train(spec: PretrainSpec, room_mb: int) -> subprocess.CompletedProcess[str]:
    """A training that may map `room_mb` more than its imports."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    write_spec(spec.folder / "spec.json", spec)
    env = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}  # map as they need
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(spec.folder / "spec.json"), str(room_mb)],
        env=tuning() | os.environ | env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PretrainSpec:
    """One micro-batch of 140 s, which takes some 1,500 MB."""
    folder = tmp_path_factory.mktemp("memory")
    params = tiny(
        updates=2, batch={"seconds": 140.0, "crop_s": 2.0}, encoders={"conformer": ENCODER}, validate_batches=1
    )
    return make_spec(make_shards(folder / "shards", clips=170, seconds=2.0), folder / "run", params)


@needs_linux
@pytest.mark.parametrize("room_mb", [1000, 400])
def test_a_batch_that_is_too_large_is_one_sentence_whose_advice_fits(large: PretrainSpec, room_mb: int) -> None:
    failed = train(large, room_mb)
    assert failed.returncode == 1, failed.stderr
    sentence = read_json(large.folder / "error.json")["error"]
    assert failed.stderr == f"{sentence}\n"
    advice = ADVICE.match(sentence)
    assert advice, sentence
    percent, seconds, times = int(advice[1]), float(advice[2]), int(advice[3])
    assert seconds <= 140 * (percent + 0.5) / 100
    assert times * seconds >= 140
    batch = large.pretrain.batch.model_copy(update={"seconds": seconds, "micro_batches": times})
    folder = large.folder.parent / f"advised-{room_mb}"
    advised = large.model_copy(
        update={"folder": folder, "pretrain": large.pretrain.model_copy(update={"batch": batch})}
    )
    done = train(advised, room_mb)
    assert done.returncode == 0, done.stderr
    assert read_json(folder / "receipt.json")["notes"]["updates"] == 2


def test_the_sentence_fits_what_was_found() -> None:
    params = BatchParams(seconds=140.0, crop_s=2.0)
    assert "about 45 % of it fits: set pretrain.batch.seconds to 63, and" in _sentence(0.45, 70, params)
    assert "about 26 % of it fits: set pretrain.batch.seconds to 36, and" in _sentence(0.26, 70, params)  # not 36.4
    crop = "lower pretrain.batch.crop_s, or choose a smaller encoder"
    assert _sentence(0.01, 70, params).endswith(f"about 1 %, less than one crop, of it fits: {crop}")
    assert _sentence(0.0, 70, params).endswith(f"not even one clip of it fits: {crop}")


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: …"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_memory_errors_are_recognised(error: Exception, found: bool) -> None:
    assert is_memory_error(error) == found


def test_an_error_of_another_kind_stays_what_it_is() -> None:
    params = tiny()
    with pytest.raises(RuntimeError, match="other"), out_of_memory(None, None, params.batch, 1, moments=True):  # type: ignore[arg-type]
        raise RuntimeError("other")


def test_memory_that_runs_out_in_a_reader_thread_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from allears.shards import batches
    from allears.training.run import main

    real = np.empty

    def empty(shape: object, *args: object, **kwargs: object) -> object:
        if isinstance(shape, tuple) and len(shape) == 2 and shape[1] > 8000:
            return real((1 << 30, 1 << 20), dtype=np.float64)  # numpy's own error: no machine has that much
        return real(shape, *args, **kwargs)  # type: ignore[call-overload]

    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", tiny(reader_threads=2))
    spec.folder.mkdir()
    write_spec(spec.folder / "spec.json", spec)
    monkeypatch.setattr(batches.np, "empty", empty)
    assert main([str(spec.folder / "spec.json")]) == 1
    said = read_json(spec.folder / "error.json")
    assert said["kind"].endswith("MemoryError")
    assert said["error"].startswith("memory ran out, on this machine or its GPU; lower pretrain.batch.seconds")
    assert capsys.readouterr().err == f"{said['error']}\n"
