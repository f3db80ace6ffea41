"""MFCCs against the slow oracle, and frame means against counting by hand."""

import numpy as np
import pytest

from allears.audio.features import mfcc, stack_mean
from allears.frames import encoder_frames
from tests.reference.mfcc import mfcc as slow_mfcc


def test_mfcc_equals_the_slow_oracle():
    audio = np.random.default_rng(0).standard_normal(400 + 160 * 9).astype(np.float32) * 0.1
    found = mfcc(audio, 16000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_mfcc(audio), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stack", [2, 4])
@pytest.mark.parametrize("samples", [0, 399, 400, 720, 880, 1040, 1200, 64000])
def test_frame_means_are_one_row_an_encoder_frame(samples, stack):
    values = mfcc(np.random.default_rng(1).standard_normal(samples).astype(np.float32), 16000)
    means = stack_mean(values, stack)
    assert means.shape == (encoder_frames(samples, stack), 39)
    for frame, row in enumerate(means):
        np.testing.assert_allclose(row, values[frame * stack : (frame + 1) * stack].mean(0), rtol=1e-4, atol=1e-4)
