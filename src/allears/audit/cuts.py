"""How far each clip lies from the cut-offs of a policy: what makes it the worst, or a borderline case.

Legend: `N` clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit import rules
from allears.params.policy import Policy, Rule


@dataclass(frozen=True, slots=True)
class CutOff:
    """A rule's measure for each clip and the bound that it is nearest to, or furthest beyond.

    `excess_N`: how far beyond that bound, as a share of its size: positive when flagged, NaN when the rule does not
    judge the clip or the clip has no value.
    """

    reason: str
    measure: str
    value_N: NDArray[np.float64]
    cut_N: NDArray[np.float64]
    excess_N: NDArray[np.float64]


def cut_offs(table: pd.DataFrame, policy: Policy) -> list[CutOff]:
    """One a rule, in the policy's order. `table` is the manifest joined with the measures."""
    return [cut_off(table, reason, rule) for reason, rule in policy.root.items()]


def cut_off(table: pd.DataFrame, reason: str, rule: Rule) -> CutOff:
    """Return how far each clip lies from the cut-off of one rule."""
    value_N = table[rule.measure].to_numpy(dtype=np.float64, na_value=np.nan)
    low_N, high_N = rules.limits(table, rule)
    under_N, over_N = _beyond(low_N - value_N, low_N), _beyond(value_N - high_N, high_N)
    known_N = rules.judged(table, rule) & ~np.isnan(value_N)
    beyond_N = np.maximum(under_N, over_N)
    excess_N = np.where(known_N & np.isfinite(beyond_N), beyond_N, np.nan)  # of a language without a bound: unknown
    return CutOff(reason, rule.measure, value_N, np.where(under_N >= over_N, low_N, high_N), excess_N)


def _beyond(by_N: NDArray[np.float64], bound_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """`by_N` over the bound's size; no bound is infinitely far away."""
    size_N = np.where((bound_N == 0) | np.isinf(bound_N), 1.0, np.abs(bound_N))
    return np.where(np.isinf(bound_N), -np.inf, by_N / size_N)
