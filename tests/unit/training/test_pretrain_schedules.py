from itertools import pairwise

import pytest

from allears.params.pretrain import OptimiserParams
from allears.training.schedules import learning_rate

RATES = OptimiserParams(learning_rate=1e-3, warmup_updates=10, floor=0.1, restart=0.5)


def rates(first: int, last: int) -> list[float]:
    return [learning_rate(update, first, last, RATES) for update in range(first, last)]


def test_it_rises_to_the_peak_and_falls_to_the_floor() -> None:
    found = rates(0, 100)
    assert found[9] == pytest.approx(1e-3)
    assert found[-1] == pytest.approx(1e-4)
    assert all(a < b for a, b in pairwise(found[:10]))
    assert all(a > b for a, b in pairwise(found[9:]))


def test_an_extension_goes_on_where_the_run_ended_and_rises_to_a_share_of_the_peak() -> None:
    before, after = rates(0, 100), rates(100, 200)
    assert before[-1] < after[0] < before[-1] + 1e-4
    assert max(after) == pytest.approx(0.5e-3)
    assert after[-1] == pytest.approx(1e-4)


@pytest.mark.parametrize("updates", [1, 2, 3, 7])
def test_a_run_shorter_than_the_warm_up_still_reaches_the_peak(updates: int) -> None:
    found = rates(0, updates)
    assert max(found) == pytest.approx(1e-3)
    assert all(1e-4 <= rate <= 1e-3 + 1e-12 for rate in found)
