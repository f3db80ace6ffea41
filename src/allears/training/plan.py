"""What a pretraining will hear, before it starts: the batch plan of a corpus. Free of torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.audio.frames import frame_samples, to_hours, to_samples, to_seconds
from allears.errors import ConfigError, TrainingError
from allears.params.pretrain import PretrainParams
from allears.shards.batches import plan_digest, totals
from allears.shards.clips import ClipTable
from allears.shards.contents import read_table
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.shards.plan import PlanClips, PlanSpec, data_digest
from allears.storage.digest import value_digest


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """The shards' index, how often each clip is heard in an epoch [N], and the plan's settings.

    Only clips of the train split that the audit keeps have a weight; `dev_weights_N` are those of dev speakers, for
    the validation loss alone. Clips of test speakers have none in either.
    """

    shard_set: ShardSet
    index: Index
    weights_N: NDArray[np.float64]
    dev_weights_N: NDArray[np.float64]
    plan: PlanSpec

    @cached_property
    def facts(self) -> dict[str, str | int]:
        """What `plan.digest` is made of, one by one: checkpoints keep it, to say what has changed."""
        rows = np.flatnonzero(self.weights_N > 0)
        weighted = rows[self.weights_N[rows] != 1]
        return {
            "shards": self.shard_set.digest,
            "selection": value_digest(self.index.clips.take(rows)),
            "weights": value_digest([self.index.clips.take(weighted), self.weights_N[weighted].tolist()]),
            "clips": len(rows),
        }

    @property
    def labelled_digest(self) -> str:
        """Names the clips of train and dev speakers that training may hear."""
        return data_digest(
            self.index.audio_digest, np.where(self.weights_N > 0, 2.0, np.where(self.dev_weights_N > 0, 1.0, 0.0))
        )


def training_data(shard_set: ShardSet, clips: Path, params: PretrainParams) -> TrainingData:
    """Read index and selection.

    Raises TrainingError when no clip, or less audio than one update hears, is left to train on.
    """
    index = read_index(shard_set)
    table = read_table(clips, index)
    weights_N = heard(table, "train")
    rate_hz, batch, model_hz = shard_set.sample_rate_hz, params.batch, params.model.log_mel.sample_rate_hz
    if rate_hz != model_hz:
        raise ConfigError(
            f"the shards hold {rate_hz} Hz, the model hears {model_hz} Hz; set shard.sample_rate_hz to {model_hz}"
        )
    plan = PlanSpec(
        digest=data_digest(shard_set.digest, weights_N),
        seed=params.seed,
        capacity_samples=to_samples(batch.seconds, rate_hz),
        crop_samples=to_samples(batch.crop_s, rate_hz),
        min_samples=to_samples(batch.min_s, rate_hz),
        start_multiple=frame_samples(params.model.log_mel.stack, rate_hz),
        group=batch.micro_batches,
    )
    data = TrainingData(
        shard_set=shard_set, index=index, weights_N=weights_N, dev_weights_N=heard(table, "dev"), plan=plan
    )
    _check(data, params, table.column("split").count("train"))
    return data


def heard(table: ClipTable, split: str) -> NDArray[np.float64]:
    """How often each clip is heard in an epoch [N]: its weight if it is kept and of `split`, else 0."""
    columns = (table.column(name) for name in ("split", "keep", "weight"))
    rows = zip(*columns, strict=True)
    return np.array([weight if keep and mine == split else 0.0 for mine, keep, weight in rows], dtype=np.float64)


def summarise_plan(data: TrainingData, first: int, updates: int) -> dict[str, Any]:
    """The plan of `updates` updates from `first` on, as the catalog stores it."""
    samples_N, weights_N, rate_hz = data.index.samples_N, data.weights_N, data.shard_set.sample_rate_hz
    clips = PlanClips(samples_N, weights_N, data.index.shard_N)
    before, after = (totals(clips, data.plan, steps) for steps in (first, first + updates))
    padded = after.padded - before.padded
    samples = after.samples - before.samples
    return {
        "shards": data.shard_set.digest,
        "plan": plan_digest(data.plan),
        "settings": asdict(data.plan),
        "clips": int((weights_N > 0).sum()),
        "too_short": int(((weights_N > 0) & (samples_N < data.plan.min_samples)).sum()),
        "hours": to_hours(to_seconds(int(samples_N[weights_N > 0].sum()), rate_hz)),
        "first_update": first,
        "updates": updates,
        "epochs": round(after.epochs - before.epochs, 2),
        "hours_planned": to_hours(to_seconds(samples, rate_hz)),
        "padding_share": round(1 - samples / padded, 4),
    }


def _check(data: TrainingData, params: PretrainParams, train_clips: int) -> None:
    heard_N = (data.weights_N > 0) & (data.index.samples_N >= data.plan.min_samples)
    if not heard_N.any():
        short = int((data.weights_N > 0).sum())
        why = (
            f"the {short} that the audit keeps are all shorter than pretrain.batch.min_s = {params.batch.min_s:g} s"
            if short
            else "the audit keeps none of them; its page says why"
        )
        raise TrainingError(
            f"no clip to train on: the shards hold {len(data.index.clips)} clips, "
            f"{train_clips} of train speakers; {why}"
        )
    crops_N = np.minimum(data.index.samples_N, data.plan.crop_samples) * np.ceil(data.weights_N)
    seconds = to_seconds(int(crops_N[heard_N].sum()), data.shard_set.sample_rate_hz)
    wanted_s = params.batch.seconds * params.batch.micro_batches
    if seconds < wanted_s:
        raise TrainingError(
            f"the corpus is smaller than one batch: {int(heard_N.sum())} training clips give {seconds:.1f} s of audio "
            f"an epoch, one update hears {wanted_s:g} s; add recordings, or lower pretrain.batch.seconds"
        )
