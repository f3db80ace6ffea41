"""Our log-mels against a slow oracle and transformers' SeamlessM4TFeatureExtractor."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor

from allears.frames import encoder_frames
from allears.models.log_mel import LogMel
from allears.params.model import LogMelConfig
from allears.types import Padded
from tests.reference.log_mel import log_mel

# Windows modulo 4 are 0, 1, 2, 3: each way in which a last stacked frame can be incomplete.
LENGTHS = [400 + 160 * n + extra for n, extra in ((19, 0), (20, 159), (21, 3), (22, 80), (63, 1))]


def clip(samples, seed=0):
    """Noise whose level jumps by up to 60 dB, as speech's does."""
    generator = np.random.default_rng(seed)
    level = 10.0 ** generator.uniform(-3, 0, samples // 800 + 1).repeat(800)[:samples]
    return (0.3 * level * generator.standard_normal(samples)).astype(np.float32)


def padded(clips, dtype=torch.float32):
    batch = torch.zeros(len(clips), max(map(len, clips)), dtype=dtype)
    for row, audio in enumerate(clips):
        batch[row, : len(audio)] = torch.from_numpy(audio)
    return Padded(batch, torch.tensor([len(audio) for audio in clips]))


@pytest.mark.parametrize("stack", [2, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-6), (torch.float32, 1e-2)])
def test_equals_the_extractor_of_transformers(stack, dtype, tolerance):
    """2e-6 is what the extractor rounds away itself: it keeps logs up to 20 as float32 before it normalises."""
    clips = [clip(length, seed) for seed, length in enumerate(LENGTHS)]
    theirs = SeamlessM4TFeatureExtractor(stride=stack)(
        clips, sampling_rate=16000, pad_to_multiple_of=stack, return_tensors="pt"
    )
    features = LogMel(LogMelConfig(stack=stack), dtype=dtype)(padded(clips, dtype))
    frames = features.lengths_B
    assert frames.tolist() == theirs["attention_mask"].sum(1).tolist()
    assert frames.tolist() == [encoder_frames(length, stack) for length in LENGTHS]
    for row, count in enumerate(frames.tolist()):
        difference = (features.data[row, :count] - theirs["input_features"][row, :count]).abs().max()
        assert difference <= tolerance


@pytest.mark.parametrize("stack", [2, 4])
def test_equals_the_slow_oracle(stack):
    audio = clip(400 + 160 * 22)
    features = LogMel(LogMelConfig(stack=stack), dtype=torch.float64)(padded([audio], torch.float64))
    np.testing.assert_allclose(features.data[0].numpy(), log_mel(audio, stack), atol=1e-9)


@pytest.mark.parametrize("stack", [2, 4])
def test_a_clip_in_a_padded_batch_is_the_clip_alone(stack):
    frontend = LogMel(LogMelConfig(stack=stack))
    clips = [clip(length, seed) for seed, length in enumerate(LENGTHS)]
    together = frontend(padded(clips))
    for row, audio in enumerate(clips):
        alone = frontend(padded([audio]))
        (count,) = alone.lengths_B.tolist()
        assert count == together.lengths_B[row]
        torch.testing.assert_close(together.data[row, :count], alone.data[0, :count], rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 559, 560, 720])
def test_tiny_clips_have_finite_features_and_exact_lengths(samples):
    audio = Padded(torch.ones(2, max(samples, 1)), torch.tensor([samples, 0]))
    features = LogMel(LogMelConfig(stack=4))(audio)
    assert features.lengths_B.tolist() == [encoder_frames(samples, 4), 0]
    assert features.data.shape[1] >= max(1, features.lengths_B[0])
    assert features.data.isfinite().all()
