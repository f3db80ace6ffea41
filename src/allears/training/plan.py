"""The batch plan of a pretraining on one corpus or several, before it starts. Free of torch.

Legend: `N` clips of a corpus, or of all, one corpus after the other.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.errors import ConfigError, TrainingError
from allears.frames import to_hours, to_samples, to_seconds
from allears.params.base import members
from allears.params.objective import AnyObjectiveConfig, ObjectiveConfig
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
from allears.text.normalise import normalise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorpusData:
    """The shards of a corpus, their index, and how often each clip is heard in an epoch [N].

    Only clips of the train split that the audit keeps have a weight; `dev_weights_N` are those of dev speakers, for
    the validation loss alone. Clips of test speakers have none in either.

    `corpus`: the name of another one that is heard beside the run's own, else None. `selection` names shards and
    weights before anything was done for the mix. `copies`: training clips left out, as another corpus holds the same
    samples out. `share`: of the audio that is planned. `lengths_N`: what the plan counts of each clip, in samples,
    units or tokens; `texts` and `labels` [N] as the table of clips has them, where the objective asks for them.
    """

    corpus: str | None
    shard_set: ShardSet
    index: Index
    weights_N: NDArray[np.float64]
    dev_weights_N: NDArray[np.float64]
    held_out_N: NDArray[np.bool_]
    selection: str
    train_clips: int
    lengths_N: NDArray[np.int64]
    texts: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
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

    def planned_length(self, crop_length: int, min_length: int) -> float:
        """Length of the crops of an epoch, over many epochs; rounded once, so that all machines find the same."""
        crops_N = np.minimum(self.lengths_N, crop_length) * self.weights_N
        return math.fsum(crops_N[self.lengths_N >= min_length].tolist())


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """The corpora that are trained on, the run's own first, and the plan's settings.

    `samples_each`: samples of audio behind each unit of length that the plan counts; 0 for tokens.
    """

    corpora: tuple[CorpusData, ...]
    plan: PlanSpec
    samples_each: int = 1

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
        return PlanClips(self.lengths, weights_N, index.shard_N, index.first_shards)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """What the plan counts of each clip of all corpora."""
        return np.concatenate([one.lengths_N for one in self.corpora])

    def hours(self, length: float) -> float:
        """Return the hours of audio behind so many samples or units; 0 for tokens."""
        return to_hours(to_seconds(int(length) * self.samples_each, self.main.shard_set.sample_rate_hz))


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
    batch, encoder = params.batch, params.chosen_encoder
    hop = encoder.hop_samples
    match params.chosen.cost:
        case "samples":
            seconds = partial(to_samples, rate_hz=shard_set.sample_rate_hz)
            capacity, crop_length, min_length = (seconds(each) for each in (batch.seconds, batch.crop_s, batch.min_s))
            samples_each, start_multiple = 1, hop
        case "units":
            seconds = partial(to_samples, rate_hz=shard_set.sample_rate_hz)
            capacity, crop_length = (seconds(each) // hop for each in (batch.seconds, batch.crop_s))
            min_length, samples_each, start_multiple = max(1, seconds(batch.min_s) // hop), hop, 1
        case "tokens":
            capacity, crop_length, min_length, samples_each, start_multiple = batch.tokens, batch.tokens, 1, 0, 1
    buckets = bucket_lengths(min_length, crop_length, batch.buckets, start_multiple)
    min_length = max((min_length, *buckets[:1]))
    corpora = without_copies(read)
    for one in corpora:
        _check_inputs(one, params.chosen)
        _check_heard(one, min_length, batch)
    corpora = _with_shares(corpora, [None, *(one.share for one in others)], crop_length, min_length)
    digests = [data_digest(one.shard_set.digest, one.weights_N) for one in corpora]
    plan = PlanSpec(
        digest=digests[0] if len(digests) == 1 else value_digest(digests),
        seed=params.seed,
        capacity=capacity,
        crop_length=crop_length,
        min_length=min_length,
        start_multiple=start_multiple,
        buckets=buckets,
        pool=2**20 if batch.buckets else 256,  # with buckets, one batch per bucket and window may be part empty
        group=batch.micro_batches,
    )
    data = TrainingData(corpora=tuple(corpora), plan=plan, samples_each=samples_each)
    _check_amount(data, batch)
    return data


def bucket_lengths(shortest: int, longest: int, count: int, multiple: int) -> tuple[int, ...]:
    """Return `count` lengths in equal ratios from `shortest` to `longest`, whole frames apart; none for a count of 0.

    A crop is cut to a bucket, so no batch is padded: attention needs no mask, and `torch.compile` sees as many shapes
    as there are buckets. On average half a ratio of each clip is not used in an epoch, another part in each.
    """
    if not count:
        return ()
    steps = [shortest * (longest / shortest) ** (place / max(1, count - 1)) for place in range(count - 1)]
    cut = [longest - (longest - int(step)) // multiple * multiple for step in steps]
    return tuple(sorted({*(length for length in cut if length >= shortest), longest}))


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
    lengths_N, weights_N = clips.lengths_N, clips.weights_N
    samples_N = np.concatenate([corpus.index.samples_N for corpus in data.corpora])
    planned = totals(clips, data.plan, begin, begin.step + updates)
    return {
        "shards": data.main.shard_set.digest,
        "plan": plan_digest(data.plan),
        "settings": asdict(data.plan),
        "corpora": [_summarise(one, data.plan) for one in data.corpora],
        "clips": int((weights_N > 0).sum()),
        "too_short": int(((weights_N > 0) & (lengths_N < data.plan.min_length)).sum()),
        "hours": to_hours(to_seconds(int(samples_N[weights_N > 0].sum()), rate_hz)),
        "first_update": begin.step,
        "updates": updates,
        "epochs": round(planned.epochs, 2),
        "hours_planned": data.hours(planned.length),
        "padding_share": round(1 - planned.length / planned.padded, 4),
    }


def _summarise(one: CorpusData, plan: PlanSpec) -> dict[str, Any]:
    heard_N = (one.weights_N > 0) & (one.lengths_N >= plan.min_length)
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
    rate_hz, model_hz = shard_set.sample_rate_hz, params.chosen_encoder.sample_rate_hz
    if rate_hz != model_hz:
        raise ConfigError(
            f"the shards{_of(corpus)} hold {rate_hz} Hz, the model takes {model_hz} Hz; set shard.sample_rate_hz to "
            f"{model_hz}" + (f" and run `kedro run --pipeline shard --params corpus={corpus}`" if corpus else "")
        )
    weights_N = heard(table, "train")
    texts = _texts(table, "text") if "text" in params.chosen.inputs or params.chosen.cost == "tokens" else None
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
        lengths_N=_lengths(index, texts or (), params),
        texts=texts,
        labels=_texts(table, "label") if "labels" in params.chosen.inputs else None,
    )


def _texts(table: ClipTable, column: str) -> tuple[str, ...]:
    return tuple(
        normalise(str(value)) if value and column == "text" else str(value or "") for value in table.column(column)
    )


def _lengths(index: Index, texts: Sequence[str], params: PretrainParams) -> NDArray[np.int64]:
    """What the plan counts of each clip [N]."""
    match params.chosen.cost:
        case "samples":
            return index.samples_N
        case "units":
            samples, place_N = np.unique(index.samples_N, return_inverse=True)
            frames = [params.chosen_encoder.frames(each) for each in samples.tolist()]
            return np.asarray(frames, dtype=np.int64)[place_N]
        case "tokens":
            return np.array([len(text) for text in texts], dtype=np.int64)


def _of_audio() -> str:
    """Return the names of the objectives that need no text and no labels."""
    found = members(AnyObjectiveConfig, "name").items()
    return ", ".join(name for name, config in found if not config.inputs & {"text", "labels"})


def _check_inputs(one: CorpusData, objective: ObjectiveConfig) -> None:
    """Raise TrainingError when no training clip has a text or label that the objective needs."""
    rows = np.flatnonzero(one.weights_N > 0)
    for what, column in (("text", one.texts), ("label", one.labels)):
        if column is not None and len(rows) and not any(column[row] for row in rows.tolist()):
            raise TrainingError(
                f"pretrain.objective={objective.name} needs a {what} for its clips, and none of the {len(rows)} "
                f"training clips{_of(one.corpus)} has one; choose an objective that learns from audio alone "
                f"({_of_audio()}), or ingest the corpus with its {what}s"
            )


def _with_shares(
    corpora: Sequence[CorpusData], shares: Sequence[float | None], crop_length: int, min_length: int
) -> list[CorpusData]:
    planned = [one.planned_length(crop_length, min_length) for one in corpora]
    times = factors(planned, shares)
    whole = math.fsum(one * factor for one, factor in zip(planned, times, strict=True))
    return [
        replace(one, weights_N=one.weights_N * factor, share=samples * factor / whole)
        for one, factor, samples in zip(corpora, times, planned, strict=True)
    ]


def _check_heard(one: CorpusData, min_length: int, batch: BatchParams) -> None:
    selected_N = one.weights_N > 0
    if (selected_N & (one.lengths_N >= min_length)).any():
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
    heard_N = (clips.weights_N > 0) & (clips.lengths_N >= data.plan.min_length)
    crops_N = np.minimum(clips.lengths_N, data.plan.crop_length) * np.ceil(clips.weights_N)
    length, wanted = int(crops_N[heard_N].sum()), data.plan.capacity * batch.micro_batches
    seconds, wanted_s = 3600 * data.hours(length), batch.seconds * batch.micro_batches
    if length < wanted:
        what = "the corpus is" if len(data.corpora) == 1 else "all corpora together are"
        if not data.samples_each:
            raise TrainingError(
                f"{what} smaller than one batch: {int(heard_N.sum())} training clips give {length} characters an "
                f"epoch, one update reads {wanted}; add texts, or lower pretrain.batch.tokens"
            )
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
