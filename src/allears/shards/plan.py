"""The batch plan: a pure function of sizes, weights, seed and epoch; the same batches for any number of ranks.

Legend: `N` clips of the corpus, `P` planned crops of an epoch, `M` micro-batches. A global step is `group`
micro-batches (G); rank r of W takes every W-th of them, so W must divide G.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allears.errors import ConfigError, CorpusError

_OFFSETS = 2**63  # the stream of random numbers that belongs to no epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpec:
    """What decides the batches. `digest` names the data (index, selection and weights) and is kept in the state."""

    digest: str
    seed: int
    capacity_samples: int
    """A micro-batch holds at most this many samples, padding included."""
    crop_samples: int
    """Longer clips are cropped to this, from an offset that the plan draws anew each epoch."""
    start_multiple: int = 640
    """Such offsets are multiples of this (40 ms at 16 kHz), so that frame labels of a clip are those of its crops."""
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
        if min(self.min_samples, self.start_multiple, self.group, self.pool) < 1 or self.seed < 0:
            raise ConfigError("a batch plan needs a seed of 0 or more; smallest clip, group and pool of 1 or more")


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
    def padded_samples(self) -> int:
        """Samples of all batches, padding included."""
        bounds_M = np.unique(self.bounds_M)  # without the empty ones
        if len(bounds_M) == 1:
            return 0
        return int((np.maximum.reduceat(self.samples_P, bounds_M[:-1]) * np.diff(bounds_M)).sum())

    def part(self, first_step: int, last_step: int, group: int) -> EpochPlan:
        """The micro-batches of steps `first_step` up to, not including, `last_step` of the epoch."""
        bounds_M = self.bounds_M[first_step * group : last_step * group + 1]
        crops = slice(int(bounds_M[0]), int(bounds_M[-1]))
        return EpochPlan(self.clip_P[crops], self.start_P[crops], self.samples_P[crops], bounds_M - bounds_M[0])


def plan_epoch(samples_N: NDArray[np.int64], weights_N: NDArray[np.float64], spec: PlanSpec, epoch: int) -> EpochPlan:
    """The micro-batches of `epoch` (from 0).

    Each clip appears as often as its weight says: once at 1; w = 0.5 means in every second epoch, exactly
    (systematic rounding over epochs, Madow 1949). CorpusError when nothing is left to hear.
    """
    generator = _generator(spec.seed, epoch)
    clip_P = np.repeat(np.arange(len(samples_N)), planned_counts(samples_N, weights_N, spec, epoch))
    if not len(clip_P) and epoch == 0 and not (weights_N > 0).any():
        raise CorpusError(
            "no clip is selected for training: all weights are zero; look at the audit page, then loosen the policy"
        )
    clip_P = generator.permutation(clip_P)
    length_P = np.minimum(samples_N[clip_P], spec.crop_samples)
    start_P = generator.integers(0, (samples_N[clip_P] - length_P) // spec.start_multiple + 1) * spec.start_multiple
    order_P, bounds_M = _batches(length_P, spec)
    clip_P, start_P, length_P = clip_P[order_P], start_P[order_P], length_P[order_P]
    return _shuffled(EpochPlan(clip_P, start_P, length_P, bounds_M), generator, spec.group)


def planned_counts(
    samples_N: NDArray[np.int64], weights_N: NDArray[np.float64], spec: PlanSpec, epoch: int
) -> NDArray[np.int64]:
    """How often each clip appears in `epoch`: floor(w (e + 1) + u) − floor(w e + u), u fixed for each clip.

    The u are spread evenly over the clips, so that an epoch as a whole holds about what the weights add up to.
    """
    offset_N = (_generator(spec.seed, _OFFSETS).permutation(len(samples_N)) + 0.5) / max(len(samples_N), 1)
    whole_N = np.floor(weights_N)
    rest_N = weights_N - whole_N
    extra_N = np.floor(rest_N * (epoch + 1) + offset_N) - np.floor(rest_N * epoch + offset_N)
    return np.where(samples_N >= spec.min_samples, whole_N + extra_N, 0).astype(np.int64)


def data_digest(shards_digest: str, weights_N: NDArray[np.float64]) -> str:
    """Names the data of a plan: the shards, and how often each clip is heard."""
    digest = hashlib.sha256(shards_digest.encode())
    digest.update(np.ascontiguousarray(weights_N, dtype="<f8").tobytes())
    return digest.hexdigest()


def _generator(seed: int, stream: int) -> np.random.Generator:
    """Philox (Salmon 2011) keyed by seed and epoch: the same numbers on every machine."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _batches(length_P: NDArray[np.int64], spec: PlanSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort each pool from long to short, so that the first of a batch says how many fit. → order [P], bounds [M + 1].

    The last pool may be smaller than the others.
    """
    pool_P = np.arange(len(length_P)) // spec.pool
    order_P = np.lexsort((-length_P, pool_P))  # stable: equal lengths stay shuffled
    fit_P = (spec.capacity_samples // np.maximum(length_P[order_P], 1)).tolist()
    bounds = [0]
    while (first := bounds[-1]) < len(fit_P):
        bounds.append(min(first + fit_P[first], (first // spec.pool + 1) * spec.pool, len(fit_P)))
    return order_P, np.asarray(bounds, dtype=np.int64)


def _shuffled(plan: EpochPlan, generator: np.random.Generator, group: int) -> EpochPlan:
    """Micro-batches in random order, padded with empty ones to a multiple of the group."""
    sizes_M = np.diff(plan.bounds_M)
    order_M = generator.permutation(len(sizes_M))
    shuffled_M = np.concatenate([[0], np.cumsum(sizes_M[order_M])]).astype(np.int64)
    moved_M = plan.bounds_M[order_M] - shuffled_M[:-1]
    take_P = np.arange(len(plan.clip_P)) + np.repeat(moved_M, sizes_M[order_M])
    padding = np.full(-len(sizes_M) % group, shuffled_M[-1])
    bounds_M = np.concatenate([shuffled_M, padding])
    return EpochPlan(plan.clip_P[take_P], plan.start_P[take_P], plan.samples_P[take_P], bounds_M)
