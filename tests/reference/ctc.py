"""CTC by its definition."""

from __future__ import annotations

import math
from itertools import product


def spelled(path: tuple[int, ...]) -> list[int]:
    """Graves et al. 2006, the map B: walk the path, keep what differs from the step before and is not blank (0)."""
    labels, before = [], 0
    for step in path:
        if step not in (0, before):
            labels.append(step)
        before = step
    return labels


def likelihood(probabilities_FV: list[list[float]], labels: list[int]) -> float:
    """Graves et al. 2006, equation 3: the sum over all paths that spell the labels."""
    symbols = range(len(probabilities_FV[0]))
    paths = product(symbols, repeat=len(probabilities_FV))
    return sum(
        math.prod(frame[step] for frame, step in zip(probabilities_FV, path, strict=True))
        for path in paths
        if spelled(path) == labels
    )
