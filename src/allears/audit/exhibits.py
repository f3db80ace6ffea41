"""Clips that a person should listen to: of each reason the worst and the borderline ones, of each rule that is set
aside three that it would flag, copies in pairs, references.

The choice is a pure function of the tables and the same for any order of their rows: ties are broken, and what is
drawn at random is drawn, by a hash of the clip's name. Legend: `N` clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit.cuts import CutOff, cut_offs
from allears.audit.groups import reason_masks
from allears.audit.measuring import TEXTS
from allears.audit.policy import reasons_of
from allears.audit.suspect import examples
from allears.params.audit import AuditParams
from allears.params.policy import Policy

BORDERLINE = 0.5  # of the cut-off's size: further away, a clip is no borderline case
REFERENCE = "reference"
SET_ASIDE = "set aside"
PLACES = ("worst", "just flagged", "just kept", SET_ASIDE, "stays", "left out", "drawn")
READS = ("clip", "sample_rate_hz", "channels", "text", "language")  # of the manifest
COLUMNS = ("group", "place", "rank", "clip", "measure", "value", "cut")
_COPIES = {"byte": "byte_duplicate", "pcm": "pcm_duplicate", "reencoded": "reencoded_duplicate"}
_IN_PAIRS = {*_COPIES.values(), "copy_leak"}


def choose(
    manifest: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame, found: pd.DataFrame, params: AuditParams,
    policy: Policy,
) -> pd.DataFrame:  # fmt: skip
    """COLUMNS, one row an exhibit: `group` is a reason or REFERENCE, `place` one of PLACES, `rank` counts within both.

    The two clips of a pair of copies share group and rank. A clip may be in several groups; there are at most
    `params.listen.max_clips` different ones, taken evenly from all groups. `found` is the table of duplicates.
    """
    table = manifest[list(READS)].merge(measures.drop(columns=list(TEXTS)), on="clip")
    table = table.merge(verdicts[["clip", "verdict", "reasons", "set_aside"]], on="clip")
    hash_N = pd.util.hash_array(table["clip"].to_numpy(dtype=object))
    rows = [*_of_reasons(table, hash_N, params, policy), *_pairs(found, params), *_references(table, hash_N, params)]
    chosen = pd.DataFrame(_within_budget(rows, params.listen.max_clips), columns=list(COLUMNS))
    return chosen.astype(
        dict.fromkeys(("group", "place", "clip", "measure"), "string")
        | {"rank": "int64", "value": "float64", "cut": "float64"}
    )


def _of_reasons(
    table: pd.DataFrame, hash_N: NDArray[np.uint64], params: AuditParams, policy: Policy
) -> Iterator[dict[str, Any]]:
    masks = reason_masks(table["reasons"])
    flagged = {reason: masks[reason] for reason in reasons_of(policy) if reason in masks}
    kept_N = (table["verdict"] == "keep").to_numpy(dtype=bool)
    clip_N = table["clip"].to_numpy(dtype=object)
    measured = {cut.reason: cut for cut in cut_offs(table, policy)}
    for reason, aside_N in reason_masks(table["set_aside"]).items():
        cut = measured[reason]
        yield from _rows(reason, SET_ASIDE, clip_N, examples(cut, aside_N, hash_N), cut)
    nobody_N = np.zeros(len(table), dtype=bool)
    for reason in [*measured, *(name for name in flagged if name not in measured)]:
        if reason in _IN_PAIRS:
            continue
        has_N = flagged.get(reason, nobody_N)
        if reason in measured:
            cut = measured[reason]
            for place, places in _around(cut, has_N, kept_N, hash_N, params.listen.per_reason).items():
                yield from _rows(reason, place, clip_N, places, cut)
        else:
            drawn = _first(np.flatnonzero(has_N), hash_N, params.listen.per_reason)
            yield from _rows(reason, "drawn", clip_N, drawn, None)


def _around(
    cut: CutOff, has_N: NDArray[np.bool_], kept_N: NDArray[np.bool_], hash_N: NDArray[np.uint64], count: int
) -> dict[str, NDArray[np.int64]]:
    """Place → positions: the worst first, the borderline ones from the cut-off outwards."""
    excess_N = cut.excess_N
    flagged = _first(np.flatnonzero(has_N & np.isfinite(excess_N)), hash_N, None, -excess_N)
    near = flagged[count:][excess_N[flagged[count:]] <= BORDERLINE]
    kept = np.flatnonzero(kept_N & (excess_N <= 0) & (excess_N >= -BORDERLINE))
    return {"worst": flagged[:count], "just flagged": near[::-1][:count],
            "just kept": _first(kept, hash_N, count, -excess_N)}  # fmt: skip


def _first(
    places: NDArray[np.int64], hash_N: NDArray[np.uint64], count: int | None, by_N: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """The first `count` of `places` by `by_N`, then by hash."""
    keys = (hash_N[places],) if by_N is None else (hash_N[places], by_N[places])
    return places[np.lexsort(keys)][:count]


def _rows(
    group: str, place: str, clip_N: NDArray[np.object_], chosen: NDArray[np.int64], cut: CutOff | None
) -> Iterator[dict[str, Any]]:
    for rank, where in enumerate(chosen):
        facts = {} if cut is None else {"measure": cut.measure, "value": cut.value_N[where], "cut": cut.cut_N[where]}
        yield {"group": group, "place": place, "rank": rank, "clip": clip_N[where]} | facts


def _pairs(found: pd.DataFrame, params: AuditParams) -> Iterator[dict[str, Any]]:
    """Of each kind the pairs that are least alike: if one is no copy, it is among them."""
    hashed = found.assign(_hash=pd.util.hash_array(found["clip"].to_numpy(dtype=object)))
    for kind, pairs in hashed.groupby("kind", sort=True):
        some = pairs.sort_values(["correlation", "_hash"]).head(params.listen.per_reason)
        for rank, pair in enumerate(some.itertuples()):
            same = {"group": _COPIES.get(str(kind), str(kind)), "rank": rank}
            if kind == "reencoded":
                same |= {"measure": "correlation", "value": pair.correlation, "cut": params.duplicates.min_correlation}
            yield same | {"place": "stays", "clip": pair.duplicate_of}
            yield same | {"place": "left out", "clip": pair.clip}


def _references(table: pd.DataFrame, hash_N: NDArray[np.uint64], params: AuditParams) -> Iterator[dict[str, Any]]:
    kept = np.flatnonzero((table["verdict"] == "keep").to_numpy(dtype=bool))
    drawn = _first(kept, hash_N, params.listen.references)
    return _rows(REFERENCE, "drawn", table["clip"].to_numpy(dtype=object), drawn, None)


def _within_budget(rows: Iterable[dict[str, Any]], max_clips: int) -> list[dict[str, Any]]:
    """Take the clips of rules that are set aside, then rank by rank over all groups, until the clips are used up; the
    pairs of copies stay whole.
    """
    together: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        unit = "pair" if row["place"] in ("stays", "left out") else row["place"]
        together.setdefault((row["rank"], row["group"], unit), []).append(row)
    clips: set[str] = set()
    taken = []
    for key in sorted(together, key=lambda key: (key[2] != SET_ASIDE, key[0])):
        more = clips | {row["clip"] for row in together[key]}
        if len(more) <= max_clips:
            clips = more
            taken.append(key)
    return [row for key, unit in together.items() if key in taken for row in unit]
