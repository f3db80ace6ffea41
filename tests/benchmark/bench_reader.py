"""How much of bare libsndfile decoding is left in collated batches.

Run `python tests/benchmark/bench_reader.py [SHARDS.json]`; without an argument it writes synthetic shards first. Both
sides decode the same FLAC bytes from memory-cached files. CPU seconds of the process, threads included, so that a busy
machine changes little; rounds alternate, the best counts.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.shards.batches import Cursor, iterate
from allears.shards.handle import ShardSet
from allears.shards.plan import PlanClips, PlanSpec, data_digest, plan_epoch
from allears.shards.reader import ShardReader
from allears.storage.files import read_json

ROUNDS = 5


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        shard_set = _given() if len(sys.argv) > 1 else _synthetic(Path(folder))
        weights_N = np.ones(shard_set.clips)
        spec = PlanSpec(
            digest=data_digest(shard_set.digest, weights_N),
            seed=0, capacity=80 * shard_set.sample_rate_hz, crop_length=60 * shard_set.sample_rate_hz,
        )  # fmt: skip
        with ShardReader(shard_set) as reader:
            flac = [reader.flac(place) for place in range(shard_set.clips)]
            steps = _steps(reader, spec, weights_N)
            seconds = _best(
                {
                    "bare libsndfile": lambda: _decode(flac),
                    "collated batches": lambda: _batches(reader, spec, weights_N, steps),
                }
            )
    hours = shard_set.seconds / 3600
    print(f"{shard_set.clips} clips, {hours:.2f} h, {steps} batches of up to 80 s")
    print(f"{'':<18} {'CPU s':>8} {'× real time':>12} {'ratio':>6}")
    for name, took in seconds.items():
        print(f"{name:<18} {took:8.2f} {shard_set.seconds / took:12,.0f} {seconds['bare libsndfile'] / took:6.2f}")


def _given() -> ShardSet:
    return ShardSet.from_json(read_json(Path(sys.argv[1])))


def _synthetic(folder: Path) -> ShardSet:
    from tests.support import make_shards

    return make_shards(folder, clips=400, seconds=5.0)[0]


def _steps(reader: ShardReader, spec: PlanSpec, weights_N: np.ndarray) -> int:
    """Batches of one epoch."""
    clips = PlanClips(reader.index.samples_N, weights_N, reader.index.shard_N)
    return plan_epoch(clips, spec, 0).micro_batches // spec.group


def _decode(flac: list[bytes]) -> None:
    for data in flac:
        soundfile.read(io.BytesIO(data), dtype="float32")


def _batches(reader: ShardReader, spec: PlanSpec, weights_N: np.ndarray, steps: int) -> None:
    for _ in iterate(reader, spec, weights_N, begin=Cursor(), last_step=steps):
        pass


def _best(sides: dict[str, Callable[[], None]]) -> dict[str, float]:
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(ROUNDS):
        for name, function in sides.items():
            start = time.process_time()
            function()
            best[name] = min(best[name], time.process_time() - start)
    return best


if __name__ == "__main__":
    main()
