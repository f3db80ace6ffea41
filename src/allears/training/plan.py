"""What a pretraining will hear, before it starts: the batch plan of one corpus or several. Free of torch.

Legend: `N` clips of a corpus, or of all, one corpus after the other.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.audio.frames import frame_samples, to_hours, to_samples, to_seconds
from allears.errors import ConfigError, TrainingError
from allears.params.pretrain import BatchParams, PretrainParams
from allears.params.spec_pretrain import OtherCorpus
from allears.shards.batches import Cursor, plan_digest, totals
from allears.shards.clips import ClipTable
from allears.shards.contents import read_table
from allears.shards.corpora import factors, joined
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.shards.plan import PlanClips, PlanSpec, data_digest
from allears.storage.digest import value_digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorpusData:
    """The shards of a corpus, their index, and how often each clip is heard in an epoch [N].

    Only clips of the train split that the audit keeps have a weight; `dev_weights_N` are those of dev speakers, for
    the validation loss alone. Clips of test speakers have none in either.

    `corpus`: the name of another one that is heard beside the run's own, else None. `selection` names shards and
    weights before anything was done for the mix. `copies`: training clips left out, as another corpus holds the same
    samples out. `share`: of the audio that is planned.
    """

    corpus: str | None
    shard_set: ShardSet
    index: Index
    weights_N: NDArray[np.float64]
    dev_weights_N: NDArray[np.float64]
    held_out_N: NDArray[np.bool_]
    selection: str
    train_clips: int
    copies: int = 0
    share: float = 1.0

    @property
    def facts(self) -> dict[str, str | int]:
        """What its part of `plan.digest` is made of, one by one."""
        rows = np.flatnonzero(self.weights_N > 0)
        weighted = rows[self.weights_N[rows] != 1]
        return {
            "shards": self.shard_set.digest,
            "selection": _bytes_digest(self.index.clips.values_N[rows]),
            "weights": _bytes_digest(self.index.clips.values_N[weighted], self.weights_N[weighted]),
            "clips": len(rows),
        }

    @property
    def labelled_digest(self) -> str:
        """Names the clips of train and dev speakers that training may hear."""
        return data_digest(
            self.index.audio_digest, np.where(self.weights_N > 0, 2.0, np.where(self.dev_weights_N > 0, 1.0, 0.0))
        )

    def planned_samples(self, crop_samples: int, min_samples: int) -> float:
        """Samples of the crops of an epoch, over many epochs; rounded once, so that all machines find the same."""
        crops_N = np.minimum(self.index.samples_N, crop_samples) * self.weights_N
        return math.fsum(crops_N[self.index.samples_N >= min_samples].tolist())


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """The corpora that are heard, the run's own first, and the plan's settings."""

    corpora: tuple[CorpusData, ...]
    plan: PlanSpec

    @property
    def main(self) -> CorpusData:
        """The run's own corpus: its dev speakers are those of the validation."""
        return self.corpora[0]

    @cached_property
    def facts(self) -> dict[str, str | int]:
        """What `plan.digest` is made of, one by one: checkpoints keep it, to say what has changed."""
        named = [(one.corpus, one.facts) for one in self.corpora]
        return {f"{what} of {name}" if name else what: fact for name, facts in named for what, fact in facts.items()}

    @cached_property
    def clips(self) -> PlanClips:
        """What is planned, of all corpora."""
        index = joined([one.index for one in self.corpora])
        weights_N = np.concatenate([one.weights_N for one in self.corpora])
        return PlanClips(index.samples_N, weights_N, index.shard_N, index.first_shards)


def training_data(
    shard_set: ShardSet, clips: Path, params: PretrainParams, others: Sequence[OtherCorpus] = ()
) -> TrainingData:
    """Read indexes and selections of a corpus, and of `others` that are heard with it.

    An epoch hears each clip of this corpus as often as its audit says; the weights of another one are multiplied so
    that it has its share of the audio, or stay those of its audit when it has none. A training clip whose samples
    another of the corpora holds out (dev, test) is left out.

    Raises TrainingError when a corpus has no clip, or all have less audio than one update hears, to train on.
    """
    read = [_read(shard_set, clips, params)]
    read += [_read(ShardSet.from_json(one.shard_set), one.clips, params, one.corpus) for one in others]
    rate_hz, batch = shard_set.sample_rate_hz, params.batch
    crop_samples, min_samples = to_samples(batch.crop_s, rate_hz), to_samples(batch.min_s, rate_hz)
    corpora = without_copies(read)
    for one in corpora:
        _check_heard(one, min_samples, batch)
    corpora = _with_shares(corpora, [None, *(one.share for one in others)], crop_samples, min_samples)
    digests = [data_digest(one.shard_set.digest, one.weights_N) for one in corpora]
    plan = PlanSpec(
        digest=digests[0] if len(digests) == 1 else value_digest(digests),
        seed=params.seed,
        capacity_samples=to_samples(batch.seconds, rate_hz),
        crop_samples=crop_samples,
        min_samples=min_samples,
        start_multiple=frame_samples(params.model.log_mel.stack, rate_hz),
        group=batch.micro_batches,
    )
    data = TrainingData(corpora=tuple(corpora), plan=plan)
    _check_amount(data, batch)
    return data


def heard(table: ClipTable, split: str) -> NDArray[np.float64]:
    """How often each clip is heard in an epoch [N]: its weight if it is kept and of `split`, else 0."""
    columns = (table.column(name) for name in ("split", "keep", "weight"))
    rows = zip(*columns, strict=True)
    return np.array([weight if keep and mine == split else 0.0 for mine, keep, weight in rows], dtype=np.float64)


def without_copies(corpora: Sequence[CorpusData]) -> list[CorpusData]:
    """The corpora without training clips whose samples another one of them holds out."""
    if len(corpora) == 1:
        return list(corpora)
    held_out = [set(itertools.compress(one.index.pcm_sha256, one.held_out_N.tolist())) for one in corpora]
    found = []
    for number, one in enumerate(corpora):
        others = set().union(*(digests for other, digests in enumerate(held_out) if other != number))
        copy_N = np.array([digest in others for digest in one.index.pcm_sha256], dtype=bool) & (one.weights_N > 0)
        weights_N = np.where(copy_N, 0.0, one.weights_N)
        found.append(replace(one, weights_N=weights_N, copies=int(copy_N.sum())))
    return found


def summarise_plan(data: TrainingData, begin: Cursor, updates: int) -> dict[str, Any]:
    """The plan of `updates` updates from `begin` on, as the catalog stores it; `corpora` are in the order of `data`."""
    clips, rate_hz = data.clips, data.main.shard_set.sample_rate_hz
    samples_N, weights_N = clips.samples_N, clips.weights_N
    planned = totals(clips, data.plan, begin, begin.step + updates)
    return {
        "shards": data.main.shard_set.digest,
        "plan": plan_digest(data.plan),
        "settings": asdict(data.plan),
        "corpora": [_summarise(one, data.plan) for one in data.corpora],
        "clips": int((weights_N > 0).sum()),
        "too_short": int(((weights_N > 0) & (samples_N < data.plan.min_samples)).sum()),
        "hours": to_hours(to_seconds(int(samples_N[weights_N > 0].sum()), rate_hz)),
        "first_update": begin.step,
        "updates": updates,
        "epochs": round(planned.epochs, 2),
        "hours_planned": to_hours(to_seconds(planned.samples, rate_hz)),
        "padding_share": round(1 - planned.samples / planned.padded, 4),
    }


def _summarise(one: CorpusData, plan: PlanSpec) -> dict[str, Any]:
    heard_N = (one.weights_N > 0) & (one.index.samples_N >= plan.min_samples)
    return {
        "selection": one.selection,
        "clips": int((one.weights_N > 0).sum()),
        "hours": to_hours(to_seconds(int(one.index.samples_N[one.weights_N > 0].sum()), one.shard_set.sample_rate_hz)),
        "copies": one.copies,
        "share": round(one.share, 6),
        "times_an_epoch": round(float(one.weights_N[heard_N].mean()), 4),
    }


def _read(shard_set: ShardSet, clips: Path, params: PretrainParams, corpus: str | None = None) -> CorpusData:
    index = read_index(shard_set)
    table = read_table(clips, index)
    rate_hz, model_hz = shard_set.sample_rate_hz, params.model.log_mel.sample_rate_hz
    if rate_hz != model_hz:
        raise ConfigError(
            f"the shards{_of(corpus)} hold {rate_hz} Hz, the model hears {model_hz} Hz; set shard.sample_rate_hz to "
            f"{model_hz}" + (f" and run `kedro run --pipeline shard --params corpus={corpus}`" if corpus else "")
        )
    weights_N = heard(table, "train")
    train_N = np.array([split == "train" for split in table.column("split")], dtype=bool)
    return CorpusData(
        corpus=corpus,
        shard_set=shard_set,
        index=index,
        weights_N=weights_N,
        dev_weights_N=np.zeros(len(table)) if corpus else heard(table, "dev"),
        held_out_N=~train_N,
        selection=data_digest(shard_set.digest, weights_N),
        train_clips=int(train_N.sum()),
    )


def _with_shares(
    corpora: Sequence[CorpusData], shares: Sequence[float | None], crop_samples: int, min_samples: int
) -> list[CorpusData]:
    planned = [one.planned_samples(crop_samples, min_samples) for one in corpora]
    times = factors(planned, shares)
    whole = math.fsum(one * factor for one, factor in zip(planned, times, strict=True))
    return [
        replace(one, weights_N=one.weights_N * factor, share=samples * factor / whole)
        for one, factor, samples in zip(corpora, times, planned, strict=True)
    ]


def _check_heard(one: CorpusData, min_samples: int, batch: BatchParams) -> None:
    selected_N = one.weights_N > 0
    if (selected_N & (one.index.samples_N >= min_samples)).any():
        return
    if short := int(selected_N.sum()):
        why = f"the {short} that the audit keeps are all shorter than pretrain.batch.min_s = {batch.min_s:g} s"
    elif one.copies:
        why = f"the {one.copies} that the audit keeps are held out in another corpus of this training"
    else:
        why = "the audit keeps none of them; its page says why"
    raise TrainingError(
        f"no clip to train on: the shards{_of(one.corpus)} hold {len(one.index.clips)} clips, {one.train_clips} of "
        f"train speakers; {why}"
    )


def _check_amount(data: TrainingData, batch: BatchParams) -> None:
    clips = data.clips
    heard_N = (clips.weights_N > 0) & (clips.samples_N >= data.plan.min_samples)
    crops_N = np.minimum(clips.samples_N, data.plan.crop_samples) * np.ceil(clips.weights_N)
    seconds = to_seconds(int(crops_N[heard_N].sum()), data.main.shard_set.sample_rate_hz)
    wanted_s = batch.seconds * batch.micro_batches
    if seconds < wanted_s:
        what = "the corpus is" if len(data.corpora) == 1 else "all corpora together are"
        raise TrainingError(
            f"{what} smaller than one batch: {int(heard_N.sum())} training clips give {seconds:.1f} s of audio "
            f"an epoch, one update hears {wanted_s:g} s; add recordings, or lower pretrain.batch.seconds"
        )


def _bytes_digest(*columns: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        digest.update(column.tobytes())
    return digest.hexdigest()


def _of(corpus: str | None) -> str:
    return f" of corpus '{corpus}'" if corpus else ""
