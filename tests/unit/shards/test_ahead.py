import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.shards.ahead import FIRST_BYTES, announced, pieces
from allears.shards.index import Index


def index_of(lengths: list[list[int]], between: int) -> Index:
    """Tars of clips of these lengths, `between` bytes apart."""
    rows = [
        (shard, between + sum(tar[:clip]) + clip * between, length)
        for shard, tar in enumerate(lengths)
        for clip, length in enumerate(tar)
    ]
    shard_N, offset_N, length_N = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    names = tuple(f"clip-{n}" for n in range(len(rows)))
    tars = tuple(f"{n}.tar" for n in range(len(lengths)))
    return Index(names, tars, shard_N.astype(np.int32), offset_N, length_N, length_N, names, names)


@settings(deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=12), min_size=1, max_size=4),
    between=st.integers(0, 90),
    gap=st.integers(0, 200),
    most=st.integers(1, 900),
    data=st.data(),
)
def test_each_clip_is_asked_for_once_whole_and_in_turn(lengths, between, gap, most, data):
    index = index_of(lengths, between)
    places = data.draw(st.lists(st.integers(0, len(index.clips) - 1), max_size=40))
    found = pieces(index, places, gap, most)
    asked = [place for piece in found for place in piece.places]
    assert sorted(asked) == sorted(set(places))
    for piece in found:
        spans = [(int(index.offset_N[p]), int(index.offset_N[p] + index.length_N[p])) for p in piece.places]
        assert {int(index.shard_N[place]) for place in piece.places} == {piece.shard}
        assert (piece.start, piece.end) == (spans[0][0], spans[-1][1])
        assert all(0 <= after[0] - before[1] <= gap for before, after in itertools.pairwise(spans))
        assert piece.end - piece.start <= most or len(spans) == 1
    first = [min(places.index(place) for place in piece.places) for piece in found]
    assert first == sorted(first)


def test_neighbours_within_the_gap_are_one_request():
    index = index_of([[100, 100, 100, 100]], between=50)
    assert [piece.places for piece in pieces(index, [3, 0, 1], gap=50, most=1000)] == [(3,), (0, 1)]
    assert [piece.places for piece in pieces(index, [3, 0, 1], gap=200, most=1000)] == [(0, 1, 3)]
    assert [piece.places for piece in pieces(index, [3, 0, 1], gap=49, most=1000)] == [(3,), (0,), (1,)]


def test_a_round_is_expected_before_the_one_before_it_is_handed_out():
    size, expected, most_ahead = FIRST_BYTES // 4, [], 0

    def wanted() -> Iterator[int]:
        yield from range(100)

    for given_now in announced(
        wanted(), lambda n: [n], lambda places: size * len(places), expected.extend, 4 * FIRST_BYTES
    ):
        most_ahead = max(most_ahead, len(expected) - given_now)
        if given_now == 0:
            assert len(expected) == 4 + 8, "the first rounds are short"
        if given_now < 84:
            assert len(expected) > given_now + 4, "something is always on its way"
    assert expected == list(range(100))
    assert most_ahead == 2 * 16, "two rounds"
    assert list(announced(iter(()), list, len, expected.extend, 10)) == []
