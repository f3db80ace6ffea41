"""Several corpora heard in one training: how often each one's clips, and one reader of all of them.

Legend: `N` clips, one corpus after the other.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import accumulate
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from allears.shards.handle import ShardSet
from allears.shards.index import Index
from allears.shards.reader import ShardReader
from allears.shards.remote import Remote, Traffic
from allears.shards.strings import Strings


def factors(seconds: Sequence[float], shares: Sequence[float | None]) -> list[float]:
    """By what the weights of each corpus are multiplied, so that it has its share of the audio of all.

    `seconds`: of each in an epoch with the weights that it has, over 0; `shares`: of each, None where the weights stay
    as they are: at least one is None, and the others are under 1 together.
    """
    pairs = list(zip(seconds, shares, strict=True))
    kept = math.fsum(one for one, share in pairs if share is None)
    whole = kept / (1 - math.fsum(share for share in shares if share is not None))
    return [1.0 if share is None else share * whole / one for one, share in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What batches need of the indexes of several corpora (as in `Index`): one after the other, tars numbered on. An id
    may be there more than once: only places are of one clip.
    """

    clips: Strings
    shard_N: NDArray[np.int32]
    length_N: NDArray[np.int64]
    samples_N: NDArray[np.int64]
    first_shards: tuple[int, ...]


def joined(indexes: Sequence[Index]) -> Index | Joined:
    """The indexes as one; one alone is itself."""
    if len(indexes) == 1:
        return indexes[0]
    first = tuple(accumulate((len(one.shards) for one in indexes[:-1]), initial=0))
    return Joined(
        clips=Strings(np.concatenate([one.clips.values_N for one in indexes])),
        shard_N=np.concatenate([one.shard_N + at for one, at in zip(indexes, first, strict=True)]).astype(np.int32),
        length_N=np.concatenate([one.length_N for one in indexes]),
        samples_N=np.concatenate([one.samples_N for one in indexes]),
        first_shards=first,
    )


class Places:
    """Whose clip lies at a place among those of all corpora, which have so many each."""

    def __init__(self, clips: Sequence[int]) -> None:
        self._first = list(accumulate(clips[:-1], initial=0))

    def of(self, place: int) -> tuple[int, int]:
        """The number of the corpus, and the place in its own index."""
        corpus = bisect_right(self._first, place) - 1
        return corpus, place - self._first[corpus]


class CorporaReader:
    """Clips of several corpora by their place in the joined `index`. Like a ShardReader, safe to use from several
    threads, and a context manager that closes its files.
    """

    def __init__(
        self, shard_sets: Sequence[ShardSet], indexes: Sequence[Index], remotes: Sequence[Remote] = ()
    ) -> None:
        """`remotes`: the copy of each corpus to read from; none: the tars themselves."""
        copies: Sequence[Remote | None] = remotes or [None] * len(shard_sets)
        each = zip(shard_sets, copies, indexes, strict=True)
        self._readers = [ShardReader(shard_set, copy, index) for shard_set, copy, index in each]
        self._places = Places([len(one.index.clips) for one in self._readers])
        self.index = joined([one.index for one in self._readers])

    def read_into(self, place: int, start: int, out_T: NDArray[np.float32]) -> None:
        """As `ShardReader.read_into`, with the same errors."""
        corpus, inner = self._places.of(place)
        self._readers[corpus].read_into(inner, start, out_T)

    @property
    def round_bytes(self) -> int:
        """As `ShardReader.round_bytes`: the largest of all corpora."""
        return max(one.round_bytes for one in self._readers)

    def expect(self, places: Sequence[int]) -> None:
        """As `ShardReader.expect`."""
        mine: list[list[int]] = [[] for _ in self._readers]
        for place in places:
            corpus, inner = self._places.of(place)
            mine[corpus].append(inner)
        for reader, wanted in zip(self._readers, mine, strict=True):
            reader.expect(wanted)

    def traffic(self) -> Traffic:
        """What was asked of all copies so far."""
        each = [asdict(traffic) for one in self._readers if (traffic := one.traffic()) is not None]
        return Traffic(**{name: sum(one[name] for one in each) for name in each[0]}) if each else Traffic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as closing:  # all of them, whatever one of them raises
            for one in self._readers:
                closing.callback(one.close)
