"""Bootstrap intervals that cluster by speaker and count every repetition.

Legend: `R` repetitions (seeds, draws), `N` clips, `C` clusters (speakers, sessions or recordings), `S` bootstrap
samples. Clips of one speaker are alike, so speakers, not clips, are drawn with replacement (Field & Welsh 2007,
"Bootstrapping clustered data", section 2: the cluster bootstrap); repetitions are drawn the same way, jointly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of rates over all data, with the bounds of its percentile interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Resampled:
    """The statistic on all data, and on each bootstrap sample [S]."""

    point: float
    samples_S: NDArray[np.float64]

    def interval(self) -> Interval:
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(self.samples_S, [tail, 1 - tail])
        return Interval(self.point, float(low), float(high))


def paired_interval(
    a_errors_RN: ArrayLike,
    b_errors_RN: ArrayLike,
    totals_RN: ArrayLike,
    clusters_N: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """The rate of `a` minus the rate of `b` on the same clips and repetitions, with its interval.

    A rate is sum(errors) / sum(totals). Errors and totals are [R, N] (a vector [N] is one repetition): for accuracy,
    errors are 0 or 1 and totals 1; for an error rate, edits and reference lengths. Both rates see the same bootstrap
    samples, so what makes a speaker hard for both cancels out. Raises ValueError when there is nothing to divide by.
    """
    a = _resample(a_errors_RN, totals_RN, clusters_N, samples, seed)
    b = _resample(b_errors_RN, totals_RN, clusters_N, samples, seed)
    return _Resampled(a.point - b.point, a.samples_S - b.samples_S).interval()


def _resample(
    errors_RN: ArrayLike, totals_RN: ArrayLike, clusters_N: Sequence[str], samples: int, seed: int
) -> _Resampled:
    errors = np.atleast_2d(np.asarray(errors_RN, dtype=np.float64))
    totals = np.broadcast_to(np.atleast_2d(np.asarray(totals_RN, dtype=np.float64)), errors.shape)
    if errors.shape[1] != len(clusters_N):
        raise ValueError(f"errors are for {errors.shape[1]} clips, clusters for {len(clusters_N)}")
    if totals.sum() <= 0:
        raise ValueError("no rate: the totals add up to zero")
    _, cluster_N = np.unique(np.asarray(clusters_N, dtype=object).astype(str), return_inverse=True)
    errors_RC, totals_RC = _by_cluster(errors, cluster_N), _by_cluster(totals, cluster_N)
    repetitions, clusters = errors_RC.shape
    generator = np.random.Generator(np.random.Philox(seed))
    picks_SC = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=samples)
    picks_SR = generator.multinomial(repetitions, np.full(repetitions, 1 / repetitions), size=samples)
    top_S = ((picks_SR @ errors_RC) * picks_SC).sum(axis=1)
    bottom_S = ((picks_SR @ totals_RC) * picks_SC).sum(axis=1)
    samples_S = np.divide(top_S, bottom_S, out=np.zeros(samples), where=bottom_S > 0)
    return _Resampled(float(errors.sum() / totals.sum()), samples_S)


def _by_cluster(values_RN: NDArray[np.float64], cluster_N: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([np.bincount(cluster_N, weights=row) for row in values_RN])
