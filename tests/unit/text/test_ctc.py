from itertools import product

from allears.text.ctc import greedy_collapse
from tests.reference import ctc as reference


def test_collapse_is_the_definition_on_every_short_path():
    for path in product(range(3), repeat=5):
        assert greedy_collapse(path) == reference.spelled(path)
