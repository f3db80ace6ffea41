"""The batch plan: a pure function of sizes, weights, seed and epoch; the same batches for any number of ranks.

Legend: `N` clips of the corpus, `P` planned crops of an epoch, `M` micro-batches. A global step is `group`
micro-batches (G); rank r of W takes every W-th of them, so W must divide G.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allears.errors import ConfigError, CorpusError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpec:
    """What decides the batches. `digest` names the data (index, selection and weights) and is kept in the state."""

    digest: str
    seed: int
    capacity_samples: int
    """A micro-batch holds at most this many samples, padding included."""
    crop_samples: int
    """Longer clips are cropped to this, from an offset that the plan draws anew each epoch."""
    min_samples: int = 1
    """Shorter clips are left out of the plan."""
    group: int = 1
    """Micro-batches in one global step, over all ranks [G]."""
    pool: int = 256
    """Crops that are sorted by length together: larger pads less, smaller shuffles more."""

    def __post_init__(self) -> None:
        if not 0 < self.crop_samples <= self.capacity_samples:
            raise ConfigError(
                f"a crop of {self.crop_samples} samples must be positive and fit into a batch of "
                f"{self.capacity_samples}; lower the crop or raise the seconds of a batch"
            )


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """All micro-batches of an epoch: micro-batch m holds the crops `bounds_M[m]:bounds_M[m + 1]` (M + 1 bounds)."""

    clip_P: NDArray[np.int64]
    start_P: NDArray[np.int64]
    samples_P: NDArray[np.int64]
    bounds_M: NDArray[np.int64]

    @property
    def micro_batches(self) -> int:
        """A multiple of the group; the last ones may be empty (they only pad the last step)."""
        return len(self.bounds_M) - 1

    @property
    def padding_share(self) -> float:
        """Padded samples over all samples of the batches."""
        padded = 0
        for first, last in zip(self.bounds_M[:-1], self.bounds_M[1:], strict=True):
            if last > first:
                padded += int(self.samples_P[first:last].max()) * int(last - first)
        return 1 - float(self.samples_P.sum()) / padded if padded else 0.0


def plan_epoch(samples_N: NDArray[np.int64], weights_N: NDArray[np.float64], spec: PlanSpec, epoch: int) -> EpochPlan:
    """The micro-batches of `epoch` (from 0).

    Each clip appears as often as its weight says: once at 1; w = 0.5 means in every second epoch, exactly
    (systematic rounding over epochs, Madow 1949). CorpusError when nothing is left to hear.
    """
    generator = np.random.Generator(np.random.Philox(key=[spec.seed, epoch]))
    clip_P = np.repeat(np.arange(len(samples_N)), planned_counts(samples_N, weights_N, spec, epoch))
    if not len(clip_P) and epoch == 0 and not (weights_N > 0).any():
        raise CorpusError(
            "no clip is selected for training: all weights are zero; look at the audit page, then loosen the policy"
        )
    clip_P = generator.permutation(clip_P)
    length_P = np.minimum(samples_N[clip_P], spec.crop_samples)
    start_P = np.floor(generator.random(len(clip_P)) * (samples_N[clip_P] - length_P + 1)).astype(np.int64)
    order_P, bounds_M = _batches(length_P, spec)
    clip_P, start_P, length_P = clip_P[order_P], start_P[order_P], length_P[order_P]
    return _shuffled(EpochPlan(clip_P, start_P, length_P, bounds_M), generator, spec.group)


def planned_counts(
    samples_N: NDArray[np.int64], weights_N: NDArray[np.float64], spec: PlanSpec, epoch: int
) -> NDArray[np.int64]:
    """How often each clip appears in `epoch`: floor(w (e + 1) + u) − floor(w e + u), u fixed for each clip."""
    offset_N = np.random.Generator(np.random.Philox(key=[spec.seed, 2**63])).random(len(samples_N))
    before_N, after_N = np.floor(weights_N * epoch + offset_N), np.floor(weights_N * (epoch + 1) + offset_N)
    return np.where(samples_N >= spec.min_samples, after_N - before_N, 0).astype(np.int64)


def _batches(length_P: NDArray[np.int64], spec: PlanSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort each pool by length; close a batch before n × longest exceeds the capacity. → order [P], bounds [M + 1]."""
    pool_P = np.arange(len(length_P)) // spec.pool
    order_P = np.lexsort((length_P, pool_P))
    sorted_P = length_P[order_P]
    bounds = [0]
    while (first := bounds[-1]) < len(sorted_P):
        most = min(first + spec.capacity_samples // int(sorted_P[first]), (first // spec.pool + 1) * spec.pool)
        cost = np.arange(1, most - first + 1) * sorted_P[first:most]  # the last of a run is its longest
        bounds.append(first + max(1, int(np.searchsorted(cost, spec.capacity_samples, side="right"))))
    return order_P, np.asarray(bounds, dtype=np.int64)


def _shuffled(plan: EpochPlan, generator: np.random.Generator, group: int) -> EpochPlan:
    """Micro-batches in random order, padded with empty ones to a multiple of the group."""
    order_M = generator.permutation(plan.micro_batches)
    sizes_M = np.diff(plan.bounds_M)[order_M]
    take_P = np.concatenate([np.arange(plan.bounds_M[m], plan.bounds_M[m + 1]) for m in order_M] or [np.arange(0)])
    padding = -len(sizes_M) % group
    bounds_M = np.concatenate([[0], np.cumsum(np.concatenate([sizes_M, np.zeros(padding, np.int64)]))]).astype(np.int64)
    return EpochPlan(plan.clip_P[take_P], plan.start_P[take_P], plan.samples_P[take_P], bounds_M)
