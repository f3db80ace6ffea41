"""The cluster bootstrap on sparse sums: whole speakers are drawn, and every table sees the same draws.

Legend: `S` bootstrap samples, `C` clusters, `G` columns. Field & Welsh 2007, "Bootstrapping clustered data", section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

TAIL = 0.025
_BLOCK = 4_000_000  # numbers in a block of draws: 32 MB
Floats = NDArray[np.float64]


def resampled_sums(sums_CG: sparse.csc_array, samples: int, seed: int) -> Floats:
    """The sum of each column over clusters drawn with replacement, [S, G]."""
    generator = np.random.Generator(np.random.Philox(seed))
    clusters, columns = sums_CG.shape
    at_once = max(1, _BLOCK // max(clusters, 1))
    drawn_SG = np.empty((samples, columns))
    for first in range(0, samples, at_once):
        size = min(at_once, samples - first)
        picks = [np.bincount(generator.integers(clusters, size=clusters), minlength=clusters) for _ in range(size)]
        drawn_SG[first : first + size] = np.asarray(picks, dtype=np.float64) @ sums_CG
    return drawn_SG


def interval(values_SG: Floats) -> tuple[Floats, Floats]:
    """Bounds of the 95 % percentile interval along the first axis; samples without a value (NaN) do not count."""
    if not np.isnan(values_SG).any():
        low, high = np.quantile(values_SG, [TAIL, 1 - TAIL], axis=0)
        return low, high
    known = ~np.isnan(values_SG).all(axis=0)
    low, high = np.nanquantile(np.where(known, values_SG, 0.0), [TAIL, 1 - TAIL], axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
