import math

import numpy as np
import pytest

from allears.params.pretrain import GuardParams
from allears.training.guards import Health, check_collapse, codebook_use

GUARDS = GuardParams(collapse_perplexity=1.5, patience_updates=100)


def test_use_and_perplexity_of_two_codebooks_by_hand() -> None:
    share, perplexity = codebook_use(np.array([[1, 1, 1, 1], [8, 0, 0, 0]]))
    assert share == pytest.approx(5 / 8)
    assert perplexity == pytest.approx((4 + 1) / 2)
    p = np.array([0.5, 0.25, 0.25])
    assert codebook_use(np.array([[2, 1, 1]]))[1] == pytest.approx(math.exp(-(p * np.log(p)).sum()))


def test_no_frames_are_no_collapse_of_arithmetic() -> None:
    assert codebook_use(np.zeros((1, 4), dtype=np.int64)) == (0.0, 1.0)


def test_constant_targets_stop_at_once() -> None:
    _, sentence, stop = check_collapse(Health(), 10, targets=1.0, predictions=9.0, params=GUARDS, warm=50)
    assert stop
    assert "nothing to predict" in str(sentence)


def test_predictions_may_be_poor_at_first_then_are_warned_of_then_stop() -> None:
    health = Health()
    said = []
    for update in range(10, 200, 10):
        health, sentence, stop = check_collapse(health, update, 30.0, 1.2, GUARDS, warm=50)
        said.append((update, sentence is not None, stop))
        if stop:
            break
    assert [entry for entry in said if entry[1]] == [(50, True, False), (150, True, True)]
    assert health.collapsed_since == 50


def test_recovery_forgets() -> None:
    health, _, _ = check_collapse(Health(collapsed_since=60), 100, 30.0, 12.0, GUARDS, warm=50)
    assert health == Health()
