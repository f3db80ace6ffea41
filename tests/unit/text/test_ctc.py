from itertools import product

import pytest

from allears.text.ctc import frames_needed, greedy_collapse
from tests.reference import ctc as reference


def test_collapse_is_the_definition_on_every_short_path():
    for path in product(range(3), repeat=5):
        assert greedy_collapse(path) == reference.spelled(path)


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 2], [1, 1, 2], [2, 2, 2]])
def test_frames_needed_is_the_shortest_path_that_spells_the_labels(labels: list[int]):
    assert frames_needed(labels) == reference.fewest_frames(labels, 2, 6)
