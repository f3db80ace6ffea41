"""The batch plan: a pure function of sizes, weights, seed and epoch; the same batches for any number of ranks.

Legend: `N` clips, `P` planned crops of an epoch, `M` micro-batches, `C` corpora. A global step is `group`
micro-batches (G); rank r of W takes every W-th of them, so W must divide G.
"""

from __future__ import annotations

import hashlib
import itertools
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
    capacity: int
    """Largest length of a micro-batch, padding included. All lengths count samples, units or tokens."""
    crop_length: int
    """Longer clips are cropped to this, from an offset that the plan draws anew each epoch."""
    start_multiple: int = 640
    """Such offsets are multiples of this (40 ms at 16 kHz), so that frame labels of a clip are those of its crops."""
    min_length: int = 1
    """Shorter clips are left out of the plan."""
    group: int = 1
    """Micro-batches in one global step, over all ranks [G]."""
    pool: int = 256
    """Crops that are sorted by length together: larger pads less, smaller shuffles more."""
    buckets: tuple[int, ...] = ()
    """The only lengths of crops, ascending; each clip is cut to the longest that it has, or left out when it has none.
    Empty: any length."""
    window_shards: int = 16
    """Shards that are shuffled together: what is heard soon lies in so many, which a cache can hold."""

    def __post_init__(self) -> None:
        if not 0 < self.crop_length <= self.capacity:
            raise ConfigError(
                f"a crop of {self.crop_length} samples must be positive and fit into a batch of "
                f"{self.capacity}; lower the crop or raise the seconds of a batch"
            )
        least = min(self.min_length, self.start_multiple, self.group, self.pool, self.window_shards)
        if self.buckets and (sorted(set(self.buckets)) != list(self.buckets) or self.buckets[-1] != self.crop_length):
            raise ConfigError(f"buckets of lengths must ascend to the crop of {self.crop_length}; found {self.buckets}")
        if least < 1 or self.seed < 0:
            raise ConfigError(
                "a batch plan needs a seed of 0 or more; smallest clip, group, pool and window of 1 or more"
            )


@dataclass(frozen=True, slots=True, eq=False)
class PlanClips:
    """What is planned, [N] each: lengths, how often an epoch uses each clip (0: never), and its shard's number.

    Several corpora lie one after the other, their shards numbered on; `first_shards` are the first ones of each.
    """

    lengths_N: NDArray[np.int64]
    weights_N: NDArray[np.float64]
    shard_N: NDArray[np.int32]
    first_shards: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.lengths_N)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """All micro-batches of an epoch: micro-batch m holds the crops `bounds_M[m]:bounds_M[m + 1]` (M + 1 bounds).

    `before_P`: how often the epoch has heard the clip of each crop before.
    """

    clip_P: NDArray[np.int64]
    start_P: NDArray[np.int64]
    lengths_P: NDArray[np.int64]
    before_P: NDArray[np.int64]
    bounds_M: NDArray[np.int64]

    @property
    def micro_batches(self) -> int:
        """A multiple of the group; the last ones may be empty (they only pad the last step)."""
        return len(self.bounds_M) - 1

    @property
    def padded_length(self) -> int:
        """Length of all batches, padding included."""
        bounds_M = np.unique(self.bounds_M)  # without the empty ones
        if len(bounds_M) == 1:
            return 0
        return int((np.maximum.reduceat(self.lengths_P, bounds_M[:-1]) * np.diff(bounds_M)).sum())

    def part(self, first_step: int, last_step: int, group: int) -> EpochPlan:
        """The micro-batches of steps `first_step` up to, not including, `last_step` of the epoch."""
        bounds_M = self.bounds_M[first_step * group : last_step * group + 1]
        crops = slice(int(bounds_M[0]), int(bounds_M[-1]))
        return EpochPlan(
            self.clip_P[crops],
            self.start_P[crops],
            self.lengths_P[crops],
            self.before_P[crops],
            bounds_M - bounds_M[0],
        )


def plan_epoch(clips: PlanClips, spec: PlanSpec, epoch: int) -> EpochPlan:
    """The micro-batches of `epoch` (from 0).

    Shards in random order → windows of them → their crops in random order → pools, sorted by length → batches up to
    the capacity → the batches of a window in random order. Each clip appears as often as its weight says: once at 1;
    w = 0.5 means in every second epoch, exactly (systematic rounding over epochs, Madow 1949). CorpusError when
    nothing is left to hear.
    """
    generator = _generator(spec.seed, epoch)
    counts_N = planned_counts(clips, spec, epoch)
    clip_P = np.repeat(np.arange(len(clips)), counts_N)
    if not len(clip_P) and epoch == 0 and not (clips.weights_N > 0).any():
        raise CorpusError(
            "no clip is selected for training: all weights are zero; look at the audit page, then loosen the policy"
        )
    clip_P = generator.permutation(clip_P)
    window_P = _windows(clips, clip_P, spec.window_shards, generator)
    clip_P = clip_P[np.argsort(window_P, kind="stable")]
    length_P = crop_lengths(clips.lengths_N[clip_P], spec)
    room_P = (clips.lengths_N[clip_P] - length_P) // spec.start_multiple
    start_P = generator.integers(0, room_P + 1) * spec.start_multiple
    ends_W = np.cumsum(np.bincount(window_P))  # of each window's crops
    order_P, bounds_M = _batches(length_P, ends_W[np.diff(ends_W, prepend=0) > 0], spec)
    window_M = np.searchsorted(ends_W, bounds_M[:-1], side="right")
    order_P, bounds_M = _shuffled(order_P, bounds_M, window_M, generator, spec.group)
    clip_P, start_P, length_P = clip_P[order_P], start_P[order_P], length_P[order_P]
    before_P = _repetition(clip_P) if counts_N.max(initial=0) > 1 else np.zeros_like(clip_P)
    return EpochPlan(clip_P, start_P, length_P, before_P, bounds_M)


def crop_lengths(lengths_N: NDArray[np.int64], spec: PlanSpec) -> NDArray[np.int64]:
    """Return the length of a crop of each clip: at most `crop_length`, and one of the buckets where there are any."""
    cut_N = np.minimum(lengths_N, spec.crop_length)
    if not spec.buckets:
        return cut_N
    buckets_K = np.asarray(spec.buckets)
    return buckets_K[np.maximum(np.searchsorted(buckets_K, cut_N, side="right") - 1, 0)]


def planned_counts(clips: PlanClips, spec: PlanSpec, epoch: int) -> NDArray[np.int64]:
    """How often each clip appears in `epoch`: floor(w (e + 1) + u) − floor(w e + u), u fixed for each clip.

    The u are spread evenly over the clips of a corpus, so that it has about what its weights add up to in every epoch.
    """
    generator = _generator(spec.seed, _OFFSETS)
    bounds = [0, *np.searchsorted(clips.shard_N, clips.first_shards[1:]), len(clips)]
    sizes = np.diff(bounds).tolist()
    offset_N = np.concatenate([(generator.permutation(size) + 0.5) / max(size, 1) for size in sizes])
    whole_N = np.floor(clips.weights_N)
    rest_N = clips.weights_N - whole_N
    extra_N = np.floor(rest_N * (epoch + 1) + offset_N) - np.floor(rest_N * epoch + offset_N)
    least = max((spec.min_length, *spec.buckets[:1]))
    return np.where(clips.lengths_N >= least, whole_N + extra_N, 0).astype(np.int64)


def data_digest(shards_digest: str, weights_N: NDArray[np.float64]) -> str:
    """Names the data of a plan: the shards, and how often each clip is heard."""
    digest = hashlib.sha256(shards_digest.encode())
    digest.update(np.ascontiguousarray(weights_N, dtype="<f8").tobytes())
    return digest.hexdigest()


def _generator(seed: int, stream: int) -> np.random.Generator:
    """Philox (Salmon 2011) keyed by seed and epoch: the same numbers on every machine."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _windows(
    clips: PlanClips, clip_P: NDArray[np.int64], size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The window of each crop [P]: shards in random order, `size` at a time.

    Of several corpora the one with the most shards to hear makes the windows. The crops of each other one, pass after
    pass over its shards, are spread over them in proportion: every window holds the same mix.
    """
    shards = int(clips.shard_N.max(initial=-1)) + 1
    rank_S = np.empty(shards, dtype=np.int64)
    rank_S[generator.permutation(shards)] = np.arange(shards)
    shard_P = clips.shard_N[clip_P]
    heard_S = np.bincount(shard_P, minlength=shards) > 0
    spans = [slice(*span) for span in itertools.pairwise([*clips.first_shards, shards])]  # shards of each corpus
    lead = max(spans, key=lambda span: np.count_nonzero(heard_S[span]))
    window_S = np.full(shards, -1)
    window_S[lead] = np.argsort(np.argsort(rank_S[lead])) // size
    window_P = window_S[shard_P]
    ends_W = np.cumsum(np.bincount(window_P[window_P >= 0]))
    for span in (span for span in spans if span is not lead):
        mine_Q = np.flatnonzero((shard_P >= span.start) & (shard_P < span.stop))
        mine_Q = mine_Q[np.lexsort((rank_S[shard_P[mine_Q]], _repetition(clip_P[mine_Q])))]
        middle_Q = (2 * np.arange(len(mine_Q)) + 1) * ends_W[-1:]  # in whole numbers: the same on every machine
        window_P[mine_Q] = np.searchsorted(ends_W * 2 * len(mine_Q), middle_Q, side="right")
    return window_P


def _repetition(clip_P: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the clip of each crop came before [P]."""
    order_P = np.argsort(clip_P, kind="stable")
    sorted_P = clip_P[order_P]
    found_P = np.empty(len(clip_P), dtype=np.int64)
    found_P[order_P] = np.arange(len(clip_P)) - np.searchsorted(sorted_P, sorted_P)
    return found_P


def _batches(
    length_P: NDArray[np.int64], ends_W: NDArray[np.int64], spec: PlanSpec
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort each pool from long to short, so that the first of a batch says how many fit. → order [P], bounds [M + 1].

    Pools lie in one window of crops each (`ends_W`); the last pool of a window may be smaller than the others.
    """
    begins_W = ends_W - np.diff(ends_W, prepend=0)
    pools = [np.arange(begin, end, spec.pool) for begin, end in zip(begins_W.tolist(), ends_W.tolist(), strict=True)]
    begins_L = np.concatenate([*pools, np.zeros(0, dtype=np.int64)])  # of each pool, and where the last ends
    ends_L = np.append(begins_L[1:], len(length_P))
    pool_P = np.repeat(np.arange(len(begins_L)), ends_L - begins_L)
    order_P = np.lexsort((-length_P, pool_P))  # stable: equal lengths stay shuffled
    length_P = length_P[order_P]
    fit_P = (spec.capacity // np.maximum(length_P, 1)).tolist()
    if spec.buckets:  # a batch has one length
        ends_L = np.union1d(ends_L, np.flatnonzero(np.diff(length_P)) + 1)
    bounds = [0]
    for end in ends_L.tolist():
        while (first := bounds[-1]) < end:
            bounds.append(min(first + fit_P[first], end))
    return order_P, np.asarray(bounds, dtype=np.int64)


def _shuffled(
    order_P: NDArray[np.int64],
    bounds_M: NDArray[np.int64],
    window_M: NDArray[np.int64],
    generator: np.random.Generator,
    group: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The micro-batches of each window in random order, padded with empty ones to a multiple of the group.

    → order [P], bounds [M + 1].
    """
    sizes_M = np.diff(bounds_M)
    order_M = generator.permutation(len(sizes_M))
    order_M = order_M[np.argsort(window_M[order_M], kind="stable")]
    shuffled_M = np.concatenate([[0], np.cumsum(sizes_M[order_M])]).astype(np.int64)
    moved_M = bounds_M[order_M] - shuffled_M[:-1]
    take_P = np.arange(len(order_P)) + np.repeat(moved_M, sizes_M[order_M])
    padding = np.full(-len(sizes_M) % group, shuffled_M[-1])
    return order_P[take_P], np.concatenate([shuffled_M, padding])
