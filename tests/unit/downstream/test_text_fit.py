import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.downstream.text_fit import contrast, negative_log_likelihood
from tests.reference.ctc import likelihood


def scores(frames: int, symbols: int, seed: int) -> torch.Tensor:
    return torch.randn(frames, symbols, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 5), seed=st.integers(0, 99), labels=st.lists(st.integers(1, 2), min_size=1, max_size=4))
def test_it_is_what_the_order_of_the_frames_adds(frames: int, seed: int, labels: list[int]) -> None:
    scores_FV = scores(frames, 3, seed)
    probabilities = scores_FV.exp().tolist()
    mean = [[sum(column) / frames for column in zip(*probabilities, strict=True)]] * frames
    true, flat = likelihood(probabilities, labels), likelihood(mean, labels)
    if true == 0:
        assert math.isinf(negative_log_likelihood(scores_FV, labels))
        assert contrast(scores_FV, labels) == math.inf
    else:
        assert negative_log_likelihood(scores_FV, labels) == pytest.approx(-math.log(true), rel=1e-5, abs=1e-6)
        assert contrast(scores_FV, labels) == pytest.approx((math.log(flat) - math.log(true)) / len(labels), abs=1e-5)


def test_a_text_in_the_order_of_the_audio_is_under_zero_and_another_order_above() -> None:
    sure = torch.full((12, 5), 0.02)
    for frame, symbol in enumerate([1, 1, 0, 2, 2, 0, 3, 3, 0, 4, 4, 0]):
        sure[frame, symbol] = 0.92
    assert contrast(sure.log(), [1, 2, 3, 4]) < -1
    assert contrast(sure.log(), [4, 3, 2, 1]) > 0
    assert contrast(sure[:1].expand(12, 5).log(), [1, 2]) == pytest.approx(0.0, abs=1e-6)  # frames without an order


def test_no_frames_and_no_text() -> None:
    assert contrast(scores(3, 3, 0)[:0], [1]) == math.inf
    with pytest.raises(ValueError, match="empty"):
        contrast(scores(3, 3, 0), [])
