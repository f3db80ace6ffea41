"""Reading ahead: which clips are asked for together, and when. Pure, but for the asking itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from allears.shards.index import Index

Wanted = TypeVar("Wanted")
FIRST_BYTES = 4 << 20  # of the first round, so that training begins soon; the next are twice as long each
GAP_BYTES = 128 << 10  # what is read over rather than asked for separately: a request costs more
MOST_BYTES = 4 << 20  # of a request, unless one clip is longer


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `end` of a tar (`shard`: its place in `Index.shards`), and the clips in them that are wanted."""

    shard: int
    start: int
    end: int
    places: tuple[int, ...]


def pieces(index: Index, places: Sequence[int], gap: int = GAP_BYTES, most: int = MOST_BYTES) -> list[Piece]:
    """What to ask for to get the clips at `places`, each once: neighbours in a tar, up to `gap` bytes apart, together.

    In the order in which the first clip of each is wanted.
    """
    turn = {place: number for number, place in reversed(list(enumerate(places)))}
    wanted_P = np.fromiter(turn, dtype=np.int64, count=len(turn))
    order = np.lexsort((index.offset_N[wanted_P], index.shard_N[wanted_P]))
    found: list[Piece] = []
    for place in wanted_P[order].tolist():
        shard, start = int(index.shard_N[place]), int(index.offset_N[place])
        end = start + int(index.length_N[place])
        last = found[-1] if found else None
        if last is not None and last.shard == shard and start - last.end <= gap and end - last.start <= most:
            found[-1] = Piece(shard, last.start, end, (*last.places, place))
        else:
            found.append(Piece(shard, start, end, (place,)))
    return sorted(found, key=lambda piece: min(turn[place] for place in piece.places))


def announced(
    wanted: Iterator[Wanted],
    places_of: Callable[[Wanted], list[int]],
    size_of: Callable[[list[int]], int],
    expect: Callable[[list[int]], None],
    round_bytes: int,
) -> Iterator[Wanted]:
    """All of `wanted`, in order; before a round of it is handed out, its clips and those of the next one are expected.

    A round holds at least `round_bytes` (`size_of` its places), the first ones less; so at most about two rounds are
    held in memory at a time.
    """
    size = min(FIRST_BYTES, round_bytes)
    held = _round(wanted, places_of, size_of, expect, size)
    while held:
        size = min(2 * size, round_bytes)
        after = _round(wanted, places_of, size_of, expect, size)
        yield from held
        held = after


def _round(
    wanted: Iterator[Wanted],
    places_of: Callable[[Wanted], list[int]],
    size_of: Callable[[list[int]], int],
    expect: Callable[[list[int]], None],
    round_bytes: int,
) -> list[Wanted]:
    found: list[Wanted] = []
    all_places: list[int] = []
    size = 0
    while size < round_bytes and (one := next(wanted, None)) is not None:
        places = places_of(one)
        found.append(one)
        all_places += places
        size += size_of(places)
    expect(all_places)
    return found
