"""Corpora that are heard beside the run's own (`pretrain.corpora`): where they lie, and what of all is heard.

Only their training clips are: validation, probe and report are of the run's own corpus.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from allears.errors import ConfigError, StaleError, nearest
from allears.frames import to_hours, to_seconds
from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import ExtendedRun, OtherCorpus
from allears.shards.handle import is_made_from, is_selected
from allears.storage.files import read_json

if TYPE_CHECKING:
    from allears.training.plan import TrainingData

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardCorpus:
    """What a training hears of a corpus: its `rows` of the table of clips, and the digests of their samples."""

    corpus: str
    shards: str
    share: float
    rows: pd.DataFrame
    pcm_sha256: Sequence[str]


def find_others(params: PretrainParams, paths: Paths) -> tuple[OtherCorpus, ...]:
    """The corpora of `pretrain.corpora`, by name, so that the order in which they are given changes no batch.

    Raises ConfigError for the corpus itself, and for one without shards; StaleError for one without an audit.
    """
    if paths.corpus in params.corpora:
        raise ConfigError(
            f"pretrain.corpora names '{paths.corpus}', the corpus itself: it names others that are heard with it, and "
            "what they leave of the audio is this one's"
        )
    return tuple(_find(name, share, paths) for name, share in sorted(params.corpora.items()))


def read_others(plan: Mapping[str, Any]) -> tuple[OtherCorpus, ...]:
    """The corpora of a plan, as it found them."""
    return tuple(OtherCorpus.model_validate(one) for one in plan["others"])


def extended(plan: Mapping[str, Any]) -> ExtendedRun | None:
    """The run that a plan goes on from."""
    return ExtendedRun.model_validate(plan["extends"]) if plan["extends"] else None


def versions_of(plan: Mapping[str, Any]) -> list[str]:
    """The version of each corpus of a plan, the run's own first. StaleError for a plan of an earlier allears."""
    if "version" not in plan:
        raise StaleError("the plan was made by an earlier allears; run `kedro run --pipeline pretrain` from its start")
    return [str(plan["version"]), *(one.version for one in read_others(plan))]


def paths_of(paths: Paths, others: Sequence[OtherCorpus]) -> list[Paths]:
    """The folders of the run's own corpus and of the others."""
    return [paths, *(Paths(corpus=one.corpus, data=paths.data) for one in others)]


def say(plan: Mapping[str, Any]) -> None:
    """One line a corpus, where there are several: its share, and how often that repeats it."""
    for one in plan["corpora"] if len(plan["corpora"]) > 1 else ():
        copies = f"; {one['copies']:,} left out, as another corpus holds the same audio out" if one["copies"] else ""
        logger.info("%s: %s%s", one["corpus"], in_words(one), copies)


def in_words(one: Mapping[str, Any]) -> str:
    """`30.0 % of the audio, 120 clips (0.10 h), each 12.3 times an epoch`."""
    times = f"each {one['times_an_epoch']:.3g} times an epoch"
    return f"{100 * one['share']:.1f} % of the audio, {one['clips']:,} clips ({one['hours']:.2f} h), {times}"


def heard_corpora(
    data: TrainingData, clips: pd.DataFrame, others: Sequence[OtherCorpus], corpus: str
) -> list[HeardCorpus]:
    """What is heard of each corpus; `clips` is the table of the run's own."""
    tables = [clips, *(pd.read_parquet(one.clips) for one in others)]
    names = [corpus, *(one.corpus for one in others)]
    found = []
    for name, table, one in zip(names, tables, data.corpora, strict=True):
        places = (one.weights_N > 0).nonzero()[0]
        found.append(
            HeardCorpus(
                corpus=name,
                shards=one.shard_set.digest,
                share=one.share,
                rows=table.iloc[places],
                pcm_sha256=[one.index.pcm_sha256[place] for place in places.tolist()],
            )
        )
    return found


def licences_of(heard: HeardCorpus) -> dict[str, int]:
    """The clips heard under each licence."""
    return {str(name): int(count) for name, count in heard.rows["licence"].value_counts(sort=False).items()}


def facts(heard: Sequence[HeardCorpus], versions: Sequence[str], rate_hz: int) -> dict[str, Any]:
    """What a run and its export say of all corpora that are heard, of these `versions`, and in `corpora` of each."""
    each = [_facts(one, version, rate_hz) for one, version in zip(heard, versions, strict=True)]
    return {
        "corpus": each[0]["corpus"],
        "data_digest": each[0]["data_digest"],
        "shards": each[0]["shards"],
        "clips": sum(one["clips"] for one in each),
        "speakers": sum(one["speakers"] for one in each),
        "hours": round(sum(one["hours"] for one in each), 4),
        "corpora": each,
    }


def _facts(heard: HeardCorpus, version: str, rate_hz: int) -> dict[str, Any]:
    return {
        "corpus": heard.corpus,
        "data_digest": version,
        "shards": heard.shards,
        "share": round(heard.share, 6),
        "licences": licences_of(heard),
        "clips": len(heard.rows),
        "speakers": int(heard.rows["speaker"].nunique()),
        "hours": round(to_hours(to_seconds(int(heard.rows["samples"].sum()), rate_hz)), 4),
    }


def _find(name: str, share: float | None, paths: Paths) -> OtherCorpus:
    other = Paths(corpus=name, data=paths.data)
    handle, audit = other.shards / "shards.json", other.primary / "audit_summary.json"
    make = f"`kedro run --pipeline shard --params corpus={name}`, then run this command again"
    if not (handle.exists() and other.clips.exists()):
        made = sorted(file.parent.name for file in (paths.data / "05_model_input").glob("*/shards.json"))
        made = [one for one in made if one != paths.corpus]
        raise ConfigError(
            f"pretrain.corpora names '{name}', which has no shards{nearest(name, made) or '.'} Others that have are: "
            f"{', '.join(made) or 'none'}. Make them with {make}"
        )
    if not audit.exists():
        raise StaleError(
            f"pretrain.corpora names '{name}', which was not audited since something was withdrawn from it: type {make}"
        )
    version, shards = str(read_json(audit)["version"]), read_json(handle)
    fresh = is_made_from(shards, version, other.primary / "verdicts.parquet")
    if not (fresh and is_selected(other.primary / "selection.parquet", other.clips)):
        raise StaleError(
            f"pretrain.corpora names '{name}', whose shards are of another version, or of other verdicts, than its "
            f"audit: type {make}"
        )
    return OtherCorpus(corpus=name, version=version, shard_set=shards, clips=other.clips, share=share)
