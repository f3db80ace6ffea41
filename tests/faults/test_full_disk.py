"""A disk without space, for real: a tmpfs of 256 KiB, which grows when somebody makes room."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from allears.cli.sentences import sentence
from allears.corpus.manifest import Manifest
from allears.errors import StorageError, TrainingError
from allears.params.base import Paths
from allears.params.shard import ShardParams
from allears.pipelines.shard.nodes import write_shards
from allears.process.launch import launch
from allears.storage.files import read_json, write_bytes
from allears.training.label import prepare_units
from allears.training.plan import training_data
from tests.faults import steps
from tests.long import LONG, only_long, report
from tests.pretraining import make_spec, tiny
from tests.support import make_shards
from tests.unit.shards.recordings import as_handle, make_recordings, verdicts_of

GROWTH = 1.2 if LONG else 5.0  # of the disk, each time that it was full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # the server of worker processes still lives in it


def test_the_old_file_survives_and_the_message_says_what_to_do(small_disk: Path):
    target = small_disk / "index.parquet"
    write_bytes(target, b"old")
    with pytest.raises(StorageError, match=r"index\.parquet.*disk is full; free some space"):
        write_bytes(target, b"x" * 1_000_000)
    assert target.read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["index.parquet"]


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


@only_long
def test_ingest_and_audit_go_on_wherever_the_disk_was_full(small_disk: Path, tmp_path: Path) -> None:
    corpus, random = tmp_path / "corpus", np.random.default_rng(0)
    corpus.mkdir()
    (tmp_path / "whole").mkdir()
    for i in range(40):
        soundfile.write(corpus / f"{i}.wav", random.normal(0, 0.1, 16_000 + i), 16_000)
    params: dict[str, Any] = {"ingest": {"workers": 1}, "audit": {"measures": {"workers": 1}}}
    kb, said = 8.0, []
    while True:
        subprocess.run(["mount", "-o", f"remount,size={int(kb)}k", str(small_disk)], check=True)
        try:
            with contextlib.chdir(small_disk):
                steps.run(corpus, "ingest", "audit", **params)
            break
        except Exception as error:  # whatever it is: a person sees its sentence
            said.append(sentence(error))
            kb *= GROWTH
    with contextlib.chdir(tmp_path / "whole"):
        steps.run(corpus, "ingest", "audit", **params)
    assert steps.contents(small_disk) == steps.contents(tmp_path / "whole")
    assert len(said) >= 3
    report("disk full in ingest and audit", f"at {len(said)} sizes; the same sentence each time, then identical files")
    assert all("the disk is full; free some space and run the same command again" in each for each in said), said


def shard(manifest: Manifest, data: Path) -> dict[str, object]:
    verdicts, _ = verdicts_of(manifest.frame(["clip"]))
    return write_shards(manifest, verdicts, ShardParams(workers=1), Paths(corpus="tiny", data=data))


def test_shards_go_on_once_there_is_room(small_disk: Path, tmp_path: Path):
    manifest = as_handle(make_recordings(tmp_path / "recordings", files=24, seconds=4.0), tmp_path / "manifest")
    with pytest.raises(StorageError, match=r"\.tar: .*the disk is full; free some space and run the same"):
        shard(manifest, small_disk)
    folder = small_disk / "05_model_input" / "tiny" / "shards"
    assert not (folder / "receipt.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (folder / "parts").glob("*.parquet")}  # written after its tar
    assert done
    make_room(small_disk)
    found = shard(manifest, small_disk)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert found["digest"] == shard(manifest, tmp_path / "whole")["digest"]


def test_labels_go_on_however_little_room_there_was(small_disk: Path, tmp_path: Path):
    params = tiny(objective="masked_units")
    data = training_data(*make_shards(tmp_path / "shards", clips=40, seconds=2.0, shards=4), params)
    ballast, page = small_disk / "ballast", os.sysconf("SC_PAGESIZE")
    free, said = 0, []
    while True:
        ballast.unlink(missing_ok=True)
        space = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(0, space.f_bavail - free) * page))
        try:
            handle = prepare_units(data, params, small_disk)
            break
        except StorageError as error:
            said.append(str(error))
            free += 1 if LONG else 4
    assert all("the disk is full; free some space and run the same command again" in each for each in said), said
    assert any(".labels.arrow" in each for each in said)
    whole = prepare_units(data, params, tmp_path / "whole")
    assert labels(Path(handle["folder"])) == labels(Path(whole["folder"]))
    assert handle | {"folder": ""} == whole | {"folder": ""}
    report("disk full in labelling", f"at {len(said)} sizes; the same sentence each time, then identical files")


def labels(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".arrow", ".npy")}


@only_long
def test_a_training_goes_on_once_there_is_room(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, small_disk / "run", tiny(checkpoint_every=1))
    with pytest.raises(TrainingError, match=r"step-\d+\.pt.*free some space.*goes on"):
        launch(spec, spec.folder)
    make_room(small_disk)
    launch(spec, spec.folder)
    assert read_json(spec.folder / "receipt.json")["notes"]["updates"] == spec.last_update
