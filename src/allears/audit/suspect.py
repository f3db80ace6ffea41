"""Rules that describe a corpus instead of its clips.

A soft rule over an estimate that flags a large share of the corpus, or nearly all clips of one source, group or
speaker, says more about the measure or the recording chain than about single clips. It is *set aside* for these clips:
they do not get its reason until a person confirms the rule (`audit.confirm`).

Legend: `N` clips, `G` groups of an axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

from allears.audit import rules
from allears.audit.cuts import CutOff, cut_off
from allears.audit.groups import Axis, Floats, axis, crossed, reason_masks
from allears.audit.measures import MEASURES
from allears.params.audit import AuditParams
from allears.params.policy import Policy, Rule

FACTS = frozenset(measure.name for measure in MEASURES if measure.fact)  # never set aside
CONFIDENCE = 0.95  # of the lower bound of a share
CORPUS, SPEAKER = "corpus", "speaker"
EXAMPLES = 3  # clips to listen to, of each rule
MOST_SCOPES = 10  # named for each rule; the others are counted
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scope:
    """One part of the corpus that a rule is set aside for: how many clips it judges there, and flags."""

    axis: str
    cell: str
    flagged: int
    judged: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """The clips that a rule flags and that do not get its reason, of how many that it judges, and why."""

    clips_N: Flags
    judged: int
    scopes: tuple[Scope, ...]


class ScopeFacts(TypedDict):
    """A scope in the summary. `axis`: corpus, source, an axis of representation, or speaker."""

    axis: str
    cell: str
    clips: int
    judged: int
    share: float


class SetAside(TypedDict):
    """A rule that is set aside, in the summary. `share`: of the clips that it judges; `more_scopes` are not listed."""

    measure: str
    means: str
    clips: int
    judged: int
    share: float
    scopes: list[ScopeFacts]
    more_scopes: int
    examples: list[str]


def may_be_set_aside(rule: Rule) -> bool:
    """Return True for a soft rule over an estimate."""
    return rule.verdict == "soft" and rule.measure not in FACTS


def doubts(
    table: pd.DataFrame, flags: Mapping[str, Flags], policy: Policy, params: AuditParams
) -> dict[str, Doubt]:  # fmt: skip
    """Return reason code → Doubt for the rules that are set aside; those of `params.confirm` never are.

    `table` is the manifest joined with the measures, `flags` has the clips that each rule of the policy flags. A rule
    is set aside for the whole corpus when it flags more than `suspect_share` of the clips that it judges, if these are
    `fewest` or more. Otherwise it is set aside for each group of which it flags nearly all clips: the lower bound of
    its share there exceeds `nearly_all`.
    """
    axes: list[tuple[Axis, Flags]] = []
    found = {}
    for code, rule in policy.root.items():
        flagged_N = flags[code]
        if code in params.confirm or not may_be_set_aside(rule) or not flagged_N.any():
            continue
        judged_N = rules.judged(table, rule) & table[rule.measure].notna().to_numpy(dtype=bool)
        flagged, judged = int(flagged_N.sum()), int(judged_N.sum())
        if flagged > params.suspect_share * judged and judged >= fewest(params.suspect_share):
            found[code] = Doubt(flagged_N, judged, (Scope(CORPUS, CORPUS, flagged, judged),))
            continue
        axes = axes or list(_axes(table, params))
        doubt = _of_groups(flagged_N, judged_N, axes, params.suspect_share)
        if doubt.scopes:
            found[code] = doubt
    return found


def describe(
    table: pd.DataFrame, verdicts: pd.DataFrame, policy: Policy, params: AuditParams, means: Mapping[str, str]
) -> dict[str, SetAside]:
    """Return reason code → facts of each rule that `verdicts` record as set aside, the most frequent first.

    `table` is the manifest joined with the measures, in the order of `verdicts`; `means` are the words of each reason.
    """
    codes = reason_masks(verdicts["set_aside"])
    if not codes:
        return {}
    concerned = Policy({code: rule for code, rule in policy.root.items() if code in codes})
    flags = {code: rules.flagged(table, rule) for code, rule in concerned.root.items()}
    found = doubts(table, flags, concerned, params)
    clip_N = table["clip"].to_numpy(dtype=object)
    hash_N = pd.util.hash_array(clip_N)
    facts: dict[str, SetAside] = {}
    for code, doubt in sorted(found.items(), key=lambda item: (-int(item[1].clips_N.sum()), item[0])):
        rule, clips = concerned.root[code], int(doubt.clips_N.sum())
        some = examples(cut_off(table, code, rule), doubt.clips_N, hash_N)
        facts[code] = {
            "measure": rule.measure,
            "means": means[code],
            "clips": clips,
            "judged": doubt.judged,
            "share": clips / doubt.judged,
            "scopes": [_facts(scope) for scope in doubt.scopes[:MOST_SCOPES]],
            "more_scopes": len(doubt.scopes[MOST_SCOPES:]),
            "examples": clip_N[some].tolist(),
        }
    return facts


def examples(cut: CutOff, clips_N: Flags, hash_N: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the places of EXAMPLES of the clips: furthest beyond the cut-off, in the middle, and nearest to it."""
    places = np.flatnonzero(clips_N)
    ordered = places[np.lexsort((hash_N[places], -cut.excess_N[places]))]
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, EXAMPLES).round().astype(np.int64))]


def nearly_all(suspect_share: float) -> float:
    """Return the share of a group that counts as nearly all: it leaves no more than `suspect_share`, nor is it less."""
    return max(suspect_share, 1 - suspect_share)


def fewest(suspect_share: float) -> float:
    """Return how many clips are evidence at all: of so many, all flagged, the lower bound exceeds `nearly_all`."""
    least = nearly_all(suspect_share)
    return math.inf if least == 1 else math.floor(math.log(1 - CONFIDENCE) / math.log(least)) + 1


def lower_bound(flagged_G: NDArray[np.int64], judged_G: NDArray[np.int64]) -> Floats:
    """Return the one-sided lower bound of each share at CONFIDENCE (Clopper & Pearson 1934); 0 where none is flagged.

    Of 14 clips all flagged it exceeds 0.8, of 3 it is 0.37.
    """
    some = np.maximum(flagged_G, 1)
    bound_G = betaincinv(some, np.maximum(judged_G - flagged_G, 0) + 1, 1 - CONFIDENCE)
    return np.where(flagged_G > 0, bound_G, 0.0)


def _axes(table: pd.DataFrame, params: AuditParams) -> Iterator[tuple[Axis, Flags]]:
    """Yield the axes with the clips that belong to a group of theirs, from coarse to fine."""
    everyone = np.ones(len(table), dtype=bool)
    for name in dict.fromkeys(("source", *params.representation.axes)):
        yield axis(table, name), everyone
    sources, speakers = axis(table, "source"), axis(table, SPEAKER)
    named = speakers if len(sources.cells) == 1 else crossed(sources, speakers)  # two sources may use the same ids
    yield Axis(SPEAKER, named.cells, named.cell_N), table[SPEAKER].notna().to_numpy(dtype=bool)


def _of_groups(
    flagged_N: Flags, judged_N: Flags, axes: Iterable[tuple[Axis, Flags]], suspect_share: float
) -> Doubt:  # fmt: skip
    """Set a rule aside for groups; a group is named unless coarser ones cover all of its flagged clips."""
    aside_N = np.zeros(len(flagged_N), dtype=bool)
    scopes: list[Scope] = []
    for groups, known_N in axes:
        flagged_G, judged_G = (groups.sums(each_N & known_N).astype(np.int64) for each_N in (flagged_N, judged_N))
        is_suspect_G = lower_bound(flagged_G, judged_G) > nearly_all(suspect_share)
        if not is_suspect_G.any():
            continue
        more_N = flagged_N & known_N & is_suspect_G[groups.cell_N] & ~aside_N
        named = np.flatnonzero(groups.sums(more_N) > 0)
        largest_first = named[np.argsort(-flagged_G[named], kind="stable")].tolist()
        scopes += [Scope(groups.name, groups.cells[g], int(flagged_G[g]), int(judged_G[g])) for g in largest_first]
        aside_N |= more_N
    return Doubt(aside_N, int(judged_N.sum()), tuple(scopes))


def _facts(scope: Scope) -> ScopeFacts:
    share = scope.flagged / scope.judged
    return {"axis": scope.axis, "cell": scope.cell, "clips": scope.flagged, "judged": scope.judged, "share": share}
