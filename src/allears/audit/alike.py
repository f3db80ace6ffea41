"""The search for equal recordings among many: to which earlier clips a fingerprint is near.

Few pairs of clips of nearly one length are all compared. Many are searched by locality-sensitive hashing (bit sampling:
Indyk & Motwani 1998, section 4.2; Haitsma & Kalker 2002, section 5, look up whole words in the same spirit). Clips that
agree in log2(N) random bits of their 1024 meet in a bucket and are then compared in full; this is done TABLES times
with other bits. A pair that differs in a share p of its bits meets with a probability of
1 - (1 - (1 - p)^log2(N))^TABLES: for a million clips 0.56 at p = 0.25, 0.98 at 0.19 and over 0.999 at 0.15. So a pair
may be missed; none is invented. The work is N log N, whatever the clips' lengths.

Legend: `N` clips, `P` pieces of the fingerprint, `M` pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from allears.audio import fingerprint as fp

TABLES = 256
BUCKET = 16  # a bucket's later clips are compared with its first ones only: many clips that share silence stay cheap
ALL_PAIRS = 10_000_000  # up to here every pair is compared, which takes as long as hashing 30,000 clips
NEAREST = 4  # earlier clips that are remembered of each
CHUNK = 1 << 16  # pairs compared at a time
SEED = 0

Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices]
Found = tuple[Indices, Indices, NDArray[np.float64]]


def nearest_alike(
    words_NP: NDArray[np.uint32],
    seconds_N: NDArray[np.float64],
    *,
    max_bit_error: float,
    max_duration_difference_s: float,
    all_pairs: int = ALL_PAIRS,
) -> Found:
    """Pairs of alike clips [M]: the later one, the earlier one, their bit error; of each later one the NEAREST at most.

    `words_NP` are fingerprints as `fp.as_words` gives them. Clips are alike within both limits.
    """
    none = np.zeros(0, dtype=np.int64)
    found = none, none, np.zeros(0)
    new: list[Found] = []
    waiting = 0
    for one_M, other_M in _candidates(words_NP, seconds_N, max_duration_difference_s, all_pairs):
        near = np.abs(seconds_N[one_M] - seconds_N[other_M]) <= max_duration_difference_s
        error_M = fp.distances(words_NP[one_M[near]], words_NP[other_M[near]])
        alike = error_M <= max_bit_error
        one_M, other_M = one_M[near][alike], other_M[near][alike]  # noqa: PLW2901  the pairs that are left
        if not len(one_M):
            continue
        new.append((np.maximum(one_M, other_M), np.minimum(one_M, other_M), error_M[alike]))
        waiting += len(one_M)
        if waiting > CHUNK:
            found, new, waiting = _nearest([found, *new]), [], 0
    return _nearest([found, *new])


def _nearest(parts: list[Found]) -> Found:
    """Each pair once, by the later clip; of each the NEAREST, of equal ones the first."""
    later_M, earlier_M, error_M = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((earlier_M, error_M, later_M))
    later_M, earlier_M, error_M = later_M[order], earlier_M[order], error_M[order]
    once = np.ones(len(order), dtype=bool)
    once[1:] = (later_M[1:] != later_M[:-1]) | (earlier_M[1:] != earlier_M[:-1])
    later_M, earlier_M, error_M = later_M[once], earlier_M[once], error_M[once]
    rank_M = np.arange(len(later_M)) - np.searchsorted(later_M, later_M)
    kept = rank_M < NEAREST
    return later_M[kept], earlier_M[kept], error_M[kept]


def _candidates(
    words_NP: NDArray[np.uint32], seconds_N: NDArray[np.float64], max_duration_difference_s: float, all_pairs: int
) -> Iterator[Pairs]:
    order = np.argsort(seconds_N, kind="stable")
    ends = np.searchsorted(seconds_N[order], seconds_N[order] + max_duration_difference_s, side="right")
    later_N = ends - np.arange(len(order)) - 1
    few = int(later_N.sum()) <= all_pairs
    for one_M, other_M in _neighbours(order, later_N) if few else _collisions(words_NP):
        for at in range(0, len(one_M), CHUNK):
            yield one_M[at : at + CHUNK], other_M[at : at + CHUNK]


def _neighbours(order: Indices, later_N: Indices) -> Iterator[Pairs]:
    """Each clip of `order` with as many after it as `later_N` says, some clips at a time."""
    begins = np.concatenate([[0], np.cumsum(later_N)])
    clip, clips = 0, len(order)
    while clip < clips:
        stop = max(clip + 1, int(np.searchsorted(begins, begins[clip] + CHUNK, side="right")) - 1)
        one_M = np.repeat(np.arange(clip, stop), later_N[clip:stop])
        step_M = np.arange(begins[clip], begins[stop]) - begins[one_M]
        yield order[one_M], order[one_M + 1 + step_M]
        clip = stop


def _collisions(words_NP: NDArray[np.uint32]) -> Iterator[Pairs]:
    """Clips that agree in random bits, table by table; a bit of each of log2(N) pieces, which depend little."""
    rng = np.random.default_rng(SEED)
    columns_PN = np.ascontiguousarray(words_NP.T)
    width = min(fp.PIECES, max(1, round(np.log2(len(words_NP)))))
    for _ in track(range(TABLES), "comparing fingerprints", transient=True, console=Console(stderr=True)):
        pieces, bands = rng.permutation(fp.PIECES)[:width], rng.integers(0, fp.BANDS, width, dtype=np.uint32)
        keys_N = np.zeros(len(words_NP), dtype=np.uint64)
        for piece, band in zip(pieces, bands, strict=True):
            keys_N = (keys_N << np.uint64(1)) | ((columns_PN[piece] >> band) & np.uint32(1))
        yield from _same_key(keys_N)


def _same_key(keys_N: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Each clip with the first BUCKET clips of its key."""
    clips = len(keys_N)
    # sorting packed integers is several times as fast as argsort
    packed_N = np.sort((keys_N << np.uint64(32)) | np.arange(clips, dtype=np.uint64))
    order = (packed_N & np.uint64(0xFFFFFFFF)).astype(np.int64)
    sorted_N = packed_N >> np.uint64(32)
    begins = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    begin_N = np.repeat(begins, np.diff(np.append(begins, clips)))
    rank_N = np.arange(clips) - begin_N
    left = np.arange(clips)
    for rank in range(BUCKET):
        left = left[rank_N[left] > rank]
        if not len(left):
            return
        yield order[begin_N[left] + rank], order[left]
