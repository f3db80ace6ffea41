"""Batches from shards against other loaders and the bare decoder: `python tests/benchmark/bench_data.py`.

Two corpora: speechocean762 (through ALLEARS_REAL_DATA) as `kedro run --pipelines ingest,audit,shard` writes it, and 20
h of clips of 10 to 30 s joined from it (an hour, repeated). One epoch each, ratios of wall time in one run, sides in
turn, the best of each; one process is held to one core, two to two. All run with the memory settings of a training's
process (`process/launch.py`).

Promise: collated batches ≥ 85 % of bare libsndfile decoding, ≥ 1.5 × lhotse (Shar, dynamic buckets), ≥ 1 × plain
webdataset, which does not batch; two threads ≥ 90 % of two bare decoding processes; writing a tar ≥ 80 % of bare
encoding and writing. What is left of the speed of our own decoder, dr_flac, stands beside: we check every sum, the bare
sides none. *Cold*: the shards are first dropped from the page cache, where the system lets us.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.process.launch import tuning
from allears.shards.batches import Cursor, iterate
from allears.shards.handle import ShardSet
from allears.shards.index import join_parts, write_part
from allears.shards.plan import PlanClips, PlanSpec, data_digest, plan_epoch
from allears.shards.reader import ShardReader
from allears.shards.tar import Sound, encode_flac, to_pcm, write_tar
from allears.storage.files import atomic_path, read_json
from tests.benchmark import peers
from tests.project import kedro, make_project

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
RATE_HZ = 16_000
BATCH_S = 60.0
HOUR_S = 3600.0
PEERS = ("webdataset", "lhotse", "datasets", "mosaicml-streaming")
CORES = sorted(os.sched_getaffinity(0))


def main() -> None:
    """Print the tables, and in one line whether the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=int, default=20, help="of the longer clips")
    given = parser.parse_args()
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    print(", ".join(f"{name} {installed(name)}" for name in PEERS))
    torch.set_num_threads(1)  # two that wait for each other on one core would make lhotse's collation crawl
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        speech = shards_of_speech(folder / "project")
        for name, shard_set in {
            "speechocean762": speech, f"{given.hours} h of 10–30 s": long_clips(speech, folder / "long", given.hours),
        }.items():  # fmt: skip
            missed += compare(name, shard_set, folder, given.rounds)
        missed += writing(speech, folder / "written", given.rounds)
    print(f"\nMissed: {', '.join(missed) or 'none'}")


def keep_memory() -> None:
    """Begin this script again with what a training's process keeps of its memory, unless it is told otherwise."""
    wanted = {name: value for name, value in tuning().items() if name.startswith("MALLOC_")}
    if not wanted.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted | os.environ)  # noqa: S606  itself, in other settings


def installed(name: str) -> str:
    """The version of a package, or that it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def compare(name: str, shard_set: ShardSet, folder: Path, rounds: int) -> list[str]:
    """One table; the promises that are missed."""
    with ShardReader(shard_set) as reader:
        spec = plan_spec(shard_set)
        epoch = len(epoch_of(reader, spec)[0])
        tars = [str(shard_set.folder / shard) for shard in reader.index.shards]
        shar = peers.write_shar(reader, folder / f"shar-{shard_set.clips}", 500)
        sides: dict[str, Callable[[], int]] = {
            "bare libsndfile": lambda: peers.bare(reader, range(shard_set.clips), peers.libsndfile),
            "bare dr_flac": lambda: peers.bare(reader, range(shard_set.clips), peers.dr_flac),
            "collated batches": lambda: heard(reader, spec, 1),
            "webdataset, no batches": lambda: peers.by_webdataset(tars),
            "lhotse, Shar, dynamic buckets": lambda: peers.by_lhotse(shar),
        }
        if installed("datasets")[0].isdigit():
            sides["datasets, no batches"] = lambda: peers.by_datasets(tars)
        one = timed(sides, CORES[:1], rounds, epoch)
        two = timed(
            {
                "two processes, bare libsndfile": lambda: two_bare(shard_set, peers.libsndfile),
                "two processes, bare dr_flac": lambda: two_bare(shard_set, peers.dr_flac),
                "collated batches, two threads": lambda: heard(reader, spec, 2),
            },
            CORES[:2], rounds, epoch,
        )  # fmt: skip
        cold = {key: drop_and_time(sides[key], tars) for key in ("bare libsndfile", "bare dr_flac", "collated batches")}
    show(f"{name}: {shard_set.clips:,} clips, {shard_set.seconds / HOUR_S:.2f} h", shard_set.seconds, one, "one core")
    show("", shard_set.seconds, two, "two cores")
    show("", shard_set.seconds, cold, "two cores, not in the page cache")
    batches, in_threads = one["collated batches"], two["collated batches, two threads"]
    promises = {
        "collated over bare libsndfile": (one["bare libsndfile"] / batches, 0.85),
        "collated over lhotse": (one["lhotse, Shar, dynamic buckets"] / batches, 1.5),
        "collated over webdataset": (one["webdataset, no batches"] / batches, 1.0),
        "two threads over two processes, bare libsndfile": (two["two processes, bare libsndfile"] / in_threads, 0.9),
    }
    for what, (found, wanted) in promises.items():
        print(f"{what}: {found:.2f} (wanted {wanted:g})")
    print(f"collated over bare dr_flac: {one['bare dr_flac'] / batches:.2f}")
    print(f"two threads over two processes, bare dr_flac: {two['two processes, bare dr_flac'] / in_threads:.2f}")
    return [f"{what} on {name} ({found:.2f})" for what, (found, wanted) in promises.items() if found < wanted]


def writing(shard_set: ShardSet, folder: Path, rounds: int) -> list[str]:
    """A tar of the first 1,000 clips, against the same FLAC files one after the other in one file."""
    folder.mkdir()
    with ShardReader(shard_set) as reader:
        sounds = [
            Sound(clip, reader.read(place), {"text": "a"}) for place, clip in enumerate(reader.index.clips[:1000])
        ]

    def bare() -> int:
        with atomic_path(folder / "bare") as temporary, temporary.open("wb") as file:
            for sound in sounds:
                file.write(encode_flac(to_pcm(sound.audio_T), RATE_HZ))
        return len(sounds)

    sides = {
        "bare encoding, one file": bare,
        "a tar, with digests and snapshots": lambda: len(write_tar(folder / "a.tar", sounds, RATE_HZ)),
    }
    took = timed(sides, CORES[:1], rounds, len(sounds))
    audio_s = sum(len(sound.audio_T) for sound in sounds) / RATE_HZ
    show(f"writing {len(sounds):,} clips", audio_s, took, "one core")
    ratio = took["bare encoding, one file"] / took["a tar, with digests and snapshots"]
    print(f"tar over bare encoding: {ratio:.2f} (wanted 0.8)")
    return [f"writing ({ratio:.2f})"] if ratio < 0.8 else []


def show(title: str, audio_s: float, seconds: dict[str, float], where: str) -> None:
    """Seconds, times real time, and the ratio to the first row."""
    if title:
        print(f"\n## {title}")
    first = next(iter(seconds.values()))
    print(f"\n| {where} | s | × real time | ratio |\n|---|---|---|---|")
    for name, took in seconds.items():
        print(f"| {name} | {took:.2f} | {audio_s / took:,.0f} | {first / took:.2f} |", flush=True)


def plan_spec(shard_set: ShardSet) -> PlanSpec:
    """Batches of up to 60 s, nothing cropped but what is longer."""
    samples = round(BATCH_S * RATE_HZ)
    digest = data_digest(shard_set.digest, np.ones(shard_set.clips))
    return PlanSpec(digest=digest, seed=0, capacity=samples, crop_length=samples)


def epoch_of(reader: ShardReader, spec: PlanSpec) -> tuple[np.ndarray, int]:
    """Clips of an epoch, and its steps."""
    weights_N = np.ones(len(reader.index.clips))
    plan = plan_epoch(PlanClips(reader.index.samples_N, weights_N, reader.index.shard_N), spec, 0)
    return plan.clip_P, plan.micro_batches


def heard(reader: ShardReader, spec: PlanSpec, threads: int) -> int:
    """The clips of one epoch of batches."""
    _, steps = epoch_of(reader, spec)
    weights_N = np.ones(len(reader.index.clips))
    batches = iterate(reader, spec, weights_N, begin=Cursor(), last_step=steps, threads=threads)
    return sum(len(batch.keys) for batch in batches)


def two_bare(shard_set: ShardSet, decode: Callable[[bytes, int], None]) -> int:
    """Two processes decode one half each; they are started before, like workers that are there already."""
    halves = np.array_split(np.arange(shard_set.clips), 2)
    return sum(_POOL.map(_bare_part, [shard_set] * 2, halves, [decode] * 2))


def _bare_part(shard_set: ShardSet, places: np.ndarray, decode: Callable[[bytes, int], None]) -> int:
    with ShardReader(shard_set) as reader:
        return peers.bare(reader, places.tolist(), decode)


def timed(sides: dict[str, Callable[[], int]], cores: list[int], rounds: int, clips: int) -> dict[str, float]:
    """Wall seconds on `cores`, the sides in turn, the best round of each; every side must give every clip."""
    found = dict.fromkeys(sides, float("inf"))
    os.sched_setaffinity(0, cores)
    try:
        for _ in range(rounds):
            for name, side in sides.items():
                before = time.perf_counter()
                given = side()
                found[name] = min(found[name], time.perf_counter() - before)
                assert given == clips, (name, given, clips)
    finally:
        os.sched_setaffinity(0, CORES)
    return found


def drop_and_time(side: Callable[[], int], tars: list[str]) -> float:
    """Once, with the tars out of the page cache."""
    for tar in tars:
        with Path(tar).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before = time.perf_counter()
    side()
    return time.perf_counter() - before


def shards_of_speech(project: Path) -> ShardSet:
    """The whole corpus through the pipelines."""
    make_project(project)
    told = f"corpus=so762,ingest.path={REAL / 'speechocean762'},ingest.licence=LicenseRef-speechocean762"
    done = kedro(project, "run", "--pipelines", "ingest,audit,shard", "--params", told, timeout_s=1800.0)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    handle = ShardSet.from_json(read_json(project / "data/05_model_input/so762/shards.json"))
    return ShardSet(project / handle.folder, handle.digest, handle.clips, handle.seconds, handle.sample_rate_hz)


def long_clips(speech: ShardSet, folder: Path, hours: int) -> ShardSet:
    """An hour of clips of 10 to 30 s, joined from short ones, in as many tars as there are hours."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with ShardReader(speech) as reader:
        audio_T = np.concatenate([reader.read(place) for place in range(speech.clips)])[: round(HOUR_S * RATE_HZ)]
    ends = np.cumsum(rng.integers(10 * RATE_HZ, 30 * RATE_HZ, size=360))
    pieces = np.split(audio_T, ends[ends < len(audio_T) - 10 * RATE_HZ])
    parts = []
    for hour in range(hours):
        tar, part = folder / f"long-{hour:06d}.tar", folder / f"long-{hour:06d}.parquet"
        sounds = (Sound(f"h{hour:02d}-{number:04d}", piece, {}) for number, piece in enumerate(pieces))
        write_part(part, write_tar(tar, sounds, RATE_HZ))
        parts.append(part)
    return join_parts(folder, parts)


if __name__ == "__main__":
    keep_memory()
    _POOL = ProcessPoolExecutor(2)
    list(_POOL.map(abs, range(8)))
    main()
    _POOL.shutdown()
