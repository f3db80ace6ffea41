from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.downstream.subsets import draw_at_most, draw_share, share_of, shortage

rows = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz")), min_size=1, max_size=80)


@given(rows, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_each_class_gives_its_share_and_small_shares_are_part_of_large_ones(rows, one, other, seed):
    classes, groups = [row[0] for row in rows], [row[1] for row in rows]
    small = draw_share(classes, groups, min(one, other), seed)
    large = draw_share(classes, groups, max(one, other), seed)
    assert set(small) <= set(large)
    counts = Counter(classes)
    assert Counter(classes[i] for i in small) == Counter(
        {name: n for name, count in counts.items() if (n := share_of(count, min(one, other)))}
    )
    assert np.array_equal(large, draw_share(classes, groups, max(one, other), seed))


@given(rows, st.integers(1, 100), st.integers(0, 5))
def test_a_cap_is_met_exactly_and_in_proportion(rows, most, seed):
    classes, groups = [row[0] for row in rows], [row[1] for row in rows]
    picked = draw_at_most(classes, groups, most, seed)
    assert len(set(picked)) == len(picked) == min(most, len(rows))
    got = Counter(classes[i] for i in picked)
    for name, count in Counter(classes).items():
        exact = count * min(1, most / len(rows))
        assert abs(got[name] - exact) < 1


def test_places_go_to_the_largest_remainders_and_ties_to_the_first_name():
    classes = ["c"] * 2 + ["b"] * 2 + ["a"] * 6
    picked = draw_at_most(classes, ["s"] * 10, 4, seed=0)  # 2.4, 0.8, 0.8
    assert Counter(classes[i] for i in picked) == {"a": 2, "b": 1, "c": 1}
    assert draw_at_most(["c", "b", "a"], ["s"] * 3, 2, seed=0).tolist() == [1, 2]


def test_a_share_is_pinned():
    """Encoders are compared on the same clips, whatever version drew them."""
    picked = draw_share([*"ab"] * 20, [f"s{i // 3}" for i in range(40)], 0.2, seed=1)
    assert picked.tolist() == [1, 2, 16, 20, 23, 25, 32, 39]


def test_clips_come_from_as_many_speakers_as_possible():
    groups = ["loud"] * 90 + [f"s{i}" for i in range(10)]
    picked = draw_share(["x"] * 100, groups, 0.11, seed=0)
    assert len({groups[i] for i in picked}) == 11


def test_seeds_differ():
    draws = {tuple(draw_share(["x"] * 50, ["s"] * 50, 0.2, seed)) for seed in range(5)}
    assert len(draws) == 5


def test_a_share_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match="found 10"):
        draw_share(["x"], ["s"], 10, 0)


def test_shortage_names_the_smallest_class():
    assert shortage({"a": 60, "b": 40}, 0.01, 2) is not None
    found = shortage({"a": 60, "b": 40}, 0.01, 2)
    assert found is not None
    assert (found.name, found.clips, found.of) == ("b", 0, 40)
    assert shortage({"a": 60, "b": 40}, 0.1, 2) is None
