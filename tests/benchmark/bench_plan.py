"""What the batch plan costs and how well it shuffles: `python tests/benchmark/bench_plan.py`.

Promise: padding ≤ 5 % of the seconds in a batch of 60 s with speechocean762's lengths; order and neighbours as random
as a full shuffle's; 10 M clips planned in ≤ 60 s and ≤ 2 GB; the first batch of 100 k clips in ≤ 2 s; the memory of the
reading process flat over an epoch. Lengths and speakers of speechocean762 come through ALLEARS_REAL_DATA (Kaldi's
tables and the headers of its recordings). What lhotse's sampler makes of them stands beside it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.shards.batches import Cursor, iterate
from allears.shards.handle import ShardSet
from allears.shards.index import join_parts, write_part
from allears.shards.plan import EpochPlan, PlanClips, PlanSpec, data_digest, plan_epoch
from allears.shards.reader import ShardReader
from allears.shards.tar import Sound, write_tar
from tests.benchmark import peers

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
RATE_HZ = 16_000
BATCH = 60 * RATE_HZ
SHARDS = 20
MANY, MILLIONS = 100_000, 10_000_000
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Lengths in samples and speakers of its clips, in the order of its tars."""

    samples_N: Ints
    speaker_N: Ints


def main() -> None:
    """Print the tables, and in one line whether the promises hold."""
    if sys.argv[1:] == ["millions"]:
        millions()
        return
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    corpus = speech()
    missed = padding(corpus) + shuffling(corpus)
    print(f"\n| {MILLIONS:,} clips planned | s | GB at most |\n|---|---|---|", flush=True)
    said = subprocess.run(
        [sys.executable, __file__, "millions"], capture_output=True, text=True, check=True, env=os.environ
    ).stdout  # fmt: skip
    seconds, gigabytes = (float(each) for each in said.split())
    print(f"| with lengths of 0.5 to 60 s | {seconds:.1f} | {gigabytes:.2f} |")
    missed += [f"plan of {MILLIONS:,} clips"] if seconds > 60 or gigabytes > 2 else []
    with tempfile.TemporaryDirectory() as folder:
        missed += first_batch_and_memory(Path(folder))
    print(f"\nMissed: {', '.join(missed) or 'none'}")


def speech() -> Corpus:
    """Speechocean762, by speaker as its tables are."""
    folder = REAL / "speechocean762"
    speakers = dict(line.split() for line in (folder / "utt2spk").read_text().splitlines())
    rows = sorted(line.split(maxsplit=1) for line in (folder / "wav.scp").read_text().splitlines())
    samples, names = [], []
    for key, path in rows:
        info = soundfile.info(folder / path)
        samples.append(round(info.frames / info.samplerate * RATE_HZ))
        names.append(speakers[key])
    return Corpus(np.array(samples), np.unique(names, return_inverse=True)[1].astype(np.int64))


def planned(samples_N: Ints, **changes: int) -> tuple[EpochPlan, PlanSpec]:
    """An epoch of them, in SHARDS tars."""
    shard_N = (np.arange(len(samples_N)) * SHARDS // len(samples_N)).astype(np.int32)
    spec = PlanSpec(digest="", capacity=BATCH, crop_length=BATCH, **{"seed": 0} | changes)
    return plan_epoch(PlanClips(samples_N, np.ones(len(samples_N)), shard_N), spec, 0), spec


def padding(corpus: Corpus) -> list[str]:
    """Seconds of zeros in batches of 60 s, and how full these are."""
    print("| batches of up to 60 s, speechocean762 | padding | of the 60 s used |\n|---|---|---|")
    share = 0.0
    for name, pool in (("pool of 256 (ours)", 256), ("pool of 64", 64), ("no pool: as they come", 1)):
        plan, _ = planned(corpus.samples_N, pool=pool)
        found = 1 - plan.lengths_P.sum() / plan.padded_length
        share = found if pool == 256 else share
        used = plan.lengths_P.sum() / (np.count_nonzero(np.diff(plan.bounds_M)) * BATCH)
        print(f"| {name} | {found:.1%} | {used:.1%} |")
    batches = peers.planned_by_lhotse(corpus.samples_N, RATE_HZ, 0)
    padded = sum(len(batch) * int(corpus.samples_N[batch].max()) for batch in batches)
    used = corpus.samples_N.sum() / (len(batches) * BATCH)
    print(f"| lhotse, 30 buckets, all in its buffer | {1 - corpus.samples_N.sum() / padded:.1%} | {used:.1%} |")
    return [f"padding ({share:.1%})"] if share > 0.05 else []


def shuffling(corpus: Corpus) -> list[str]:
    """How far an epoch's order is from that of the tars, and how often a neighbour in a batch is the same speaker."""
    print("\n| order of an epoch, mean of seeds | rank correlation with the tars | neighbours of one speaker |")
    print("|---|---|---|")
    missed = []
    for window in (SHARDS, 16, 4, 1):
        drawn = np.array([facts(corpus, shuffled_windows(len(corpus.samples_N), window, seed)) for seed in range(200)])
        plans = [planned(corpus.samples_N, window_shards=window, seed=seed)[0] for seed in range(20)]
        ours = np.array([facts(corpus, plan.clip_P) for plan in plans])
        for name, each in (("full shuffle of windows", drawn), ("ours", ours)):
            print(f"| {name}, {window} of {SHARDS} tars | {each[:, 0].mean():.3f} | {each[:, 1].mean():.2%} |")
        worse = (ours.mean(axis=0) > np.quantile(drawn, 0.975, axis=0)).any()
        missed += [f"shuffling of {window} tars"] if worse else []
    theirs = [np.concatenate(peers.planned_by_lhotse(corpus.samples_N, RATE_HZ, seed)) for seed in range(20)]
    each = np.array([facts(corpus, order_P) for order_P in theirs])
    print(f"| lhotse, 30 buckets, all in its buffer | {each[:, 0].mean():.3f} | {each[:, 1].mean():.2%} |")
    return missed


def shuffled_windows(clips: int, window: int, seed: int) -> Ints:
    """Tars in random order, so many at a time, the clips of each window in random order: no batches, no lengths."""
    rng = np.random.default_rng(seed)
    shard_N = np.arange(clips) * SHARDS // clips
    window_N = (rng.permutation(SHARDS) // window)[shard_N]
    return np.lexsort((rng.random(clips), window_N))


def facts(corpus: Corpus, order_P: Ints) -> tuple[float, float]:
    """Spearman's correlation of places, without sign; share of neighbours with one speaker."""
    speaker_P = corpus.speaker_N[order_P]
    correlation = abs(float(spearmanr(np.arange(len(order_P)), order_P).statistic))
    return correlation, float(np.mean(speaker_P[1:] == speaker_P[:-1]))


def millions() -> None:
    """In a process of its own: seconds and peak GB."""
    rng = np.random.default_rng(0)
    samples_N = (np.clip(rng.lognormal(1.6, 0.6, MILLIONS), 0.5, 60) * RATE_HZ).astype(np.int64)
    shard_N = (np.arange(MILLIONS) * 4_000 // MILLIONS).astype(np.int32)
    spec = PlanSpec(digest="", seed=0, capacity=BATCH, crop_length=BATCH // 2, group=8)
    began = time.perf_counter()
    plan_epoch(PlanClips(samples_N, np.ones(MILLIONS), shard_N), spec, 0)
    seconds = time.perf_counter() - began
    print(f"{seconds} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}")


def first_batch_and_memory(folder: Path) -> list[str]:
    """From opening the index to the first batch; then resident memory along the epoch."""
    shard_set = many_clips(folder)
    began = time.perf_counter()
    weights_N = np.ones(shard_set.clips)
    digest = data_digest(shard_set.digest, weights_N)
    spec = PlanSpec(digest=digest, seed=0, capacity=BATCH, crop_length=BATCH)
    seen: list[tuple[int, float]] = []
    with ShardReader(shard_set) as reader:
        batches = iterate(reader, spec, weights_N, begin=Cursor(), last_step=10**9, threads=2)
        first = next(batches)
        took = time.perf_counter() - began
        clips = len(first.keys)
        for batch in batches:
            if batch.epoch:
                break
            clips += len(batch.keys)
            if batch.step % 20 == 0:
                seen.append((clips, resident_mb()))
    batches.close()
    steady = seen[len(seen) // 5 :]  # buffers of the first ones are made anew
    slope = float(np.polyfit([at / 1e5 for at, _ in steady], [mb for _, mb in steady], 1)[0])
    print(f"\n| {MANY:,} clips | first batch, s | MB at most | MB more in 100,000 clips |\n|---|---|---|---|")
    print(f"| of 0.2 to 0.6 s | {took:.2f} | {max(mb for _, mb in seen):.0f} | {slope:+.1f} |")
    return (["first batch"] if took > 2 else []) + (["memory"] if slope > 20 else [])


def many_clips(folder: Path) -> ShardSet:
    """100 k short clips in 10 tars, a thousand different ones."""
    rng = np.random.default_rng(0)
    pieces = [(0.1 * rng.standard_normal(int(rng.integers(3_200, 9_600)))).astype(np.float32) for _ in range(1_000)]
    parts = []
    for number in range(10):
        tar, part = folder / f"many-{number:06d}.tar", folder / f"many-{number:06d}.parquet"
        sounds = (Sound(f"{number}-{at:05d}", pieces[at % 1_000], {}) for at in range(MANY // 10))
        write_part(part, write_tar(tar, sounds, RATE_HZ))
        parts.append(part)
    return join_parts(folder, parts)


def resident_mb() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
