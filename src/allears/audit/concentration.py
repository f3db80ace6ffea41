"""How evenly hours are spread over groups and over people. Legend: `S` samples, `G` groups, `C` clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

Floats = NDArray[np.float64]


def effective_groups(hours_SG: Floats) -> Floats:
    """How many equally large groups would be as varied, [S]: e to the entropy of the shares; NaN without hours."""
    with np.errstate(invalid="ignore"):
        groups: Floats = np.exp(entropy(hours_SG, axis=-1))
    return groups


def gini(hours_C: Floats) -> float:
    """Gini coefficient of the clusters' hours: 0 all speak equally, near 1 one speaks all."""
    ordered = np.sort(hours_C)
    count = len(ordered)
    if count == 0 or ordered.sum() <= 0:
        return 0.0
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def top_share(hours_C: Floats) -> float:
    """Share of the hours of the most talkative 1 % of the clusters (at least one)."""
    count = max(1, round(len(hours_C) / 100))
    return float(np.sort(hours_C)[-count:].sum() / hours_C.sum()) if hours_C.sum() > 0 else 0.0


def effective_size(weight_N: Floats) -> float:
    """Effective sample size of weighted clips: (sum w)^2 / sum w^2 (Kish 1965)."""
    squares = float(np.square(weight_N).sum())
    return float(weight_N.sum()) ** 2 / squares if squares > 0 else 0.0
