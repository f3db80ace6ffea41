"""Batches from a copy behind a server that takes 20 ms to answer: `python tests/benchmark/bench_remote.py`.

The two corpora of `bench_data`; one epoch, sides in turn, the best of each. The server (`tests/range_server.py`, files
with range requests over HTTP) is a process of its own on the same cores, so what it takes counts against the copy. All
sums are checked on both sides. CPU seconds stand where other work runs beside.

Promise: collated batches from the copy come at ≥ 70 % of those from the tars, with one reading thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from allears.shards.remote import Remote
from allears.storage.cache import Cache
from tests.benchmark.bench_data import (
    CORES,
    HOUR_S,
    REAL,
    epoch_of,
    heard,
    keep_memory,
    long_clips,
    plan_spec,
    shards_of_speech,
    show,
    timed,
)

LATENCY_S = 0.02
WANTED = 0.7


def main() -> None:
    """Print the tables, and in one line whether the promise holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=int, default=20, help="of the longer clips")
    given = parser.parse_args()
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    print(", ".join(f"{name} {version(name)}" for name in ("fsspec", "aiohttp")))
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        speech = shards_of_speech(folder / "project")
        for name, shard_set in {
            "speechocean762": speech, f"{given.hours} h of 10–30 s": long_clips(speech, folder / "long", given.hours),
        }.items():  # fmt: skip
            missed += compare(name, shard_set, folder / f"cache-{shard_set.clips}", given.rounds)
    print(f"\nMissed: {', '.join(missed) or 'none'}")


def compare(name: str, shard_set: ShardSet, cache: Path, rounds: int) -> list[str]:
    """Tables for one and two reading threads; what is missed."""
    ratios = []
    print(f"\n## {name}: {shard_set.clips:,} clips, {shard_set.seconds / HOUR_S:.2f} h", flush=True)
    with serving(shard_set.folder) as url, ShardReader(shard_set) as local:
        spec = plan_spec(shard_set)
        epoch = len(epoch_of(local, spec)[0])
        copy, kept = Remote(url=url), Remote(url=url, cache=Cache(cache, 10**12))
        print(traffic(shard_set, kept))  # which fills the cache
        for threads in (1, 2):
            sides: dict[str, Callable[[], int]] = {
                "the tars": lambda threads=threads: heard(local, spec, threads),  # type: ignore[misc]
                "a copy, 20 ms away": lambda threads=threads: from_copy(shard_set, copy, threads),  # type: ignore[misc]
                "the same, all in the cache": lambda threads=threads: from_copy(shard_set, kept, threads),  # type: ignore[misc]
            }
            cpu = dict.fromkeys(sides, float("inf"))
            took = timed({key: partial(with_cpu, cpu, key, side) for key, side in sides.items()}, CORES, rounds, epoch)
            show("", shard_set.seconds, took, f"{len(CORES)} cores, {threads} reading threads")
            print(f"CPU seconds of the reading process: {', '.join(f'{key} {cpu[key]:.2f}' for key in sides)}")
            ratios.append(took["the tars"] / took["a copy, 20 ms away"])
    print(f"copy over tars, one thread: {ratios[0]:.2f} (wanted {WANTED:g})")
    return [f"copy on {name} ({ratios[0]:.2f})"] if ratios[0] < WANTED else []


def from_copy(shard_set: ShardSet, remote: Remote, threads: int) -> int:
    """The clips of one epoch of batches from a copy."""
    with ShardReader(shard_set, remote) as reader:
        return heard(reader, plan_spec(shard_set), threads)


def with_cpu(cpu: dict[str, float], key: str, side: Callable[[], int]) -> int:
    """What `side` gives; the least CPU seconds that it took are noted."""
    before = time.process_time()
    given = side()
    cpu[key] = min(cpu[key], time.process_time() - before)
    return given


def traffic(shard_set: ShardSet, remote: Remote) -> str:
    """What one epoch asks of the copy."""
    with ShardReader(shard_set, remote) as reader:
        clips = heard(reader, plan_spec(shard_set), 1)
        found, flac = reader.traffic(), int(reader.index.length_N.sum()) / 1e6
    assert found is not None
    return f"{found.requests:,} requests for {clips:,} clips, {found.megabytes:,.0f} MB for {flac:,.0f} MB of FLAC"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a server of `folder` in a process of its own."""
    command = [sys.executable, "-m", "tests.range_server", str(folder), "--delay-s", str(LATENCY_S)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


if __name__ == "__main__":
    keep_memory()
    main()
