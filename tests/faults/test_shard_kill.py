"""Sharding that is killed outright: the next run keeps the finished tars and ends with the same bytes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from allears.corpus.manifest import Manifest
from allears.params.base import Paths
from allears.params.shard import ShardParams
from allears.pipelines.shard import nodes
from allears.storage.digest import file_digest
from allears.storage.files import read_json, write_json
from tests.unit.shards.recordings import as_handle, make_recordings, verdicts_of

SHARD = ShardParams(min_shards=16, workers=1)


def shard(manifest: Path, data: Path) -> dict[str, object]:
    handle = Manifest.from_json(read_json(manifest))
    verdicts, _ = verdicts_of(handle.frame(["clip"]))
    return nodes.write_shards(handle, verdicts, SHARD, Paths(corpus="tiny", data=data))


def digests(data: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(data.rglob("*.tar"))}


def start(manifest: Path, data: Path) -> subprocess.Popen[bytes]:
    script = manifest.with_suffix(".py")
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pathlib import Path; from tests.faults.test_shard_kill import shard\n"
        "if __name__ == '__main__':\n    shard(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    return subprocess.Popen([sys.executable, str(script), str(manifest), str(data)], stdout=subprocess.DEVNULL)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    table = make_recordings(tmp_path / "recordings", files=60, seconds=8.0)
    manifest = tmp_path / "manifest.json"
    write_json(manifest, as_handle(table, tmp_path / "manifest").to_json())
    killed, whole = tmp_path / "killed", tmp_path / "whole"

    process = start(manifest, killed)
    parts = killed / "05_model_input" / "tiny" / "shards" / "parts"
    deadline = time.monotonic() + 90
    while len(list(parts.glob("*.parquet"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive
    assert not (parts.parent / "receipt.json").exists()
    (parts.parent / ".tiny-000003.tar.0000.tmp").write_bytes(b"half a tar")

    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    first = shard(manifest, killed)
    assert 2 <= len(done) < len(list(parts.glob("*.parquet")))
    assert {name: (parts / name).stat().st_mtime_ns for name in done} == done
    assert not list(parts.parent.glob(".*.tmp"))

    second = shard(manifest, whole)
    assert digests(killed) == digests(whole)
    assert first["digest"] == second["digest"]
