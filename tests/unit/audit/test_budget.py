from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.budget import fill, quotas

HOURS = st.lists(st.floats(0.1, 100), min_size=1, max_size=6)


def distance(hours: np.ndarray, share: np.ndarray) -> float:
    """Total variation distance of the shares of the hours from those wanted."""
    return float(np.abs(hours / hours.sum() - share).sum() / 2)


@settings(deadline=None)
@given(HOURS, st.lists(st.floats(0.01, 1), min_size=6, max_size=6), st.floats(0.01, 1), st.integers(0, 9))
def test_quotas_spend_the_budget_and_no_other_choice_is_nearer(
    hours: list[float], weights: list[float], part: float, seed: int
) -> None:
    available, share = np.array(hours), np.array(weights[: len(hours)])
    share, budget = share / share.sum(), part * available.sum()
    quota = quotas(available, share, budget)
    assert quota.sum() == pytest.approx(budget)
    assert (quota <= available * (1 + 1e-9)).all()
    rng = np.random.default_rng(seed)
    others = [available * part]  # the proportional choice, and others that a draw makes
    while len(others) < 20:
        other = np.minimum(rng.dirichlet(np.ones(len(hours))) * budget, available)
        other += (available - other) * (budget - other.sum()) / max((available - other).sum(), 1e-12)
        others.append(other)
    assert all(distance(quota, share) <= distance(other, share) + 1e-9 for other in others)


def test_what_a_group_lacks_goes_to_the_others_by_their_shares() -> None:
    np.testing.assert_allclose(quotas(np.array([100.0, 100.0, 1.0]), np.full(3, 1 / 3), 151.0), [75, 75, 1])
    np.testing.assert_allclose(quotas(np.array([10.0, 20.0]), np.array([0.5, 0.5]), 99.0), [10, 20])


def test_a_group_without_a_share_gets_nothing() -> None:
    np.testing.assert_allclose(quotas(np.array([5.0, 5.0]), np.array([1.0, 0.0]), 8.0), [5, 0])
    np.testing.assert_allclose(quotas(np.array([5.0]), np.array([0.0]), 8.0), [0])


CLIPS = st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 2)), min_size=1, max_size=30)


@settings(deadline=None)
@given(CLIPS, st.lists(st.floats(0, 20), min_size=3, max_size=3), st.randoms())
def test_filling_never_overflows_and_leaves_out_only_what_does_not_fit(clips, room, random) -> None:
    size, holder = np.array([each[0] for each in clips]), np.array([each[1] for each in clips])
    order = list(range(len(clips)))
    random.shuffle(order)
    taken = fill(size, holder, np.array(room), np.array(order))
    left = list(room)
    for place in order:  # the obvious loop
        fits = size[place] <= left[holder[place]]
        assert taken[place] == fits
        left[holder[place]] -= size[place] if fits else 0
    assert min(left) >= 0
