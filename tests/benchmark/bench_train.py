"""Training end to end from shards, against the bare step on batches that lie in memory; and the encoder's speed.

Run `python tests/benchmark/bench_train.py [SHARDS.json CLIPS.parquet] [OBJECTIVE]`; by default on synthetic shards with
the recipe of `conf/base`. End to end is the real thing: Lightning, reading and decoding, metrics, guards, progress;
start-up and the final checkpoint are not counted. Both sides run the same updates, in turns, with the threads of a
training. Two ratios: of CPU seconds of the process, all threads included, which a busy machine changes little; and of
wall time, which like the speeds (best round) means something on an idle machine only.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch

from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import PretrainSpec
from allears.process.events import EventLog
from allears.process.launch import tuning
from allears.shards.handle import ShardSet
from allears.storage.files import read_json
from allears.training import pretrain
from allears.training.label import prepare_units
from allears.training.module import build_optimiser, divide_and_clip
from allears.training.plan import TrainingData, training_data
from allears.training.pretrain import new_objective
from allears.types import Batch
from tests.pretraining import updates_of
from tests.support import make_shards

ROUNDS, UPDATES, WARM = 5, 50, 25  # WARM: the rows of metrics are as far apart as in conf/base


@dataclass(frozen=True)
class Cost:
    """What a second of audio takes."""

    wall_s: float
    cpu_s: float


class TimedLog(EventLog):
    """Notes the time of each row of metrics."""

    rows: ClassVar[list[tuple[float, float, float]]] = []

    def metrics(self, step: int, hours_heard: float, values: Mapping[str, float]) -> None:
        self.rows.append((3600 * hours_heard, time.perf_counter(), time.process_time()))
        super().metrics(step, hours_heard, values)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if len(sys.argv) > 2:
            shards = ShardSet.from_json(read_json(Path(sys.argv[1]))), Path(sys.argv[2])
        else:
            shards = make_shards(root / "shards", clips=200, seconds=4.0)
        params = recipe(sys.argv[-1] if len(sys.argv) in (2, 4) else None)
        data = training_data(*shards, params)
        targets = {"kind": "none"}
        if "units" in params.chosen.inputs:
            targets = prepare_units(data, params, root / "features")
        updates = [each.micros for each in updates_of(params, data, WARM + UPDATES, targets=targets)]
        rounds = [
            (
                bare(params, updates, data),
                end_to_end(params, shards, targets, root / str(i)),
                forward(params, updates, data),
            )
            for i in range(ROUNDS)
        ]
    encoder = new_objective(params).encoder
    step, trained, listening = (min(cost.wall_s for cost in costs) for costs in zip(*rounds, strict=True))
    share = statistics.median(one.cpu_s / other.cpu_s for one, other, _ in rounds)
    wall_share = statistics.median(one.wall_s / other.wall_s for one, other, _ in rounds)
    millions = sum(one.numel() for one in encoder.parameters()) / 1e6
    print(f"encoder of {millions:.2f} M parameters, {params.objective}, {params.batch.seconds:g} s an update,")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {ROUNDS} rounds of {UPDATES} updates")
    print(f"{'':40}{'× real time':>12}{'of bare: CPU':>14}{'wall':>7}{'wanted':>10}")
    print(f"{'bare training step, batches in memory':40}{1 / step:12.0f}{'100 %':>14}{'100 %':>7}{'>= 120 ×':>10}")
    ratios = f"{f'{100 * share:.0f} %':>14}{f'{100 * wall_share:.0f} %':>7}"
    print(f"{'training end to end, from shards':40}{1 / trained:12.0f}{ratios}{'>= 90 %':>10}")
    print(f"{'encoder alone, forward':40}{1 / listening:12.0f}")


def recipe(objective: str | None) -> PretrainParams:
    """`conf/base`; nothing but training is timed."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf/base/parameters_pretrain.yml").read_text())["pretrain"]
    changes = {"updates": WARM + UPDATES, "validate_batches": 0, "checkpoint_every": 10**6}
    return PretrainParams.model_validate(values | changes | ({"objective": objective} if objective else {}))


def bare(params: PretrainParams, updates: list[list[Batch]], data: TrainingData) -> Cost:
    """Forward, backward, clipping, AdamW."""
    objective = new_objective(params)
    optimiser = build_optimiser(objective, params.optimiser)
    wall = cpu = 0.0
    for number, update in enumerate(updates):
        if number == WARM:
            wall, cpu = time.perf_counter(), time.process_time()
        optimiser.zero_grad(set_to_none=True)
        outputs = []
        for micro in update:
            outputs.append(objective(micro))
            outputs[-1].loss_sum.backward()
        divide_and_clip(objective, torch.stack([o.count for o in outputs]).sum(), params.optimiser.clip_norm)
        optimiser.step()
    return cost(updates[WARM:], data, wall, cpu)


def end_to_end(params: PretrainParams, shards: tuple[ShardSet, Path], targets: dict[str, Any], folder: Path) -> Cost:
    """The training process's own work, between its first and last row of metrics."""
    spec = PretrainSpec(
        folder=folder, identity="bench", shard_set=shards[0].to_json(), clips=shards[1], targets=targets,
        pretrain=params,
    )  # fmt: skip
    TimedLog.rows.clear()
    pretrain.EventLog = TimedLog
    pretrain.run(spec)
    (heard, wall, cpu), (heard_at_end, wall_at_end, cpu_at_end) = TimedLog.rows[0], TimedLog.rows[-1]
    audio_s = heard_at_end - heard
    return Cost((wall_at_end - wall) / audio_s, (cpu_at_end - cpu) / audio_s)


@torch.inference_mode()
def forward(params: PretrainParams, updates: list[list[Batch]], data: TrainingData) -> Cost:
    """The encoder alone on audio, as the probe and users run it."""
    encoder = new_objective(params).encoder.eval()
    wall, cpu = time.perf_counter(), time.process_time()
    for update in updates:
        for micro in update:
            encoder(micro.audio)
    return cost(updates, data, wall, cpu)


def cost(updates: list[list[Batch]], data: TrainingData, wall: float, cpu: float) -> Cost:
    """Time since `wall` and `cpu` for a second of these updates' audio, padding not counted."""
    samples = sum(int(micro.audio.lengths_B.sum()) for update in updates for micro in update)
    audio_s = samples / data.main.shard_set.sample_rate_hz
    return Cost((time.perf_counter() - wall) / audio_s, (time.process_time() - cpu) / audio_s)


if __name__ == "__main__":
    if wanting := tuning().keys() - os.environ.keys():  # libraries read them when they load
        around = os.environ | {name: tuning()[name] for name in wanting}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=around, check=False).returncode)
    main()
