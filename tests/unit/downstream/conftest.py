import pytest
import torch

from allears.models.audio_encoder import AudioEncoder
from allears.params.model import AudioEncoderConfig, ConformerConfig


@pytest.fixture
def encoder() -> AudioEncoder:
    """Two blocks of width 16."""
    return AudioEncoder(AudioEncoderConfig(conformer=ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three clips of 20, 12 and 7 frames; zeros beyond."""
    frames = torch.tensor([20, 12, 7])
    features = torch.randn(3, 20, 320, generator=torch.Generator().manual_seed(0))
    return features * (torch.arange(20) < frames[:, None])[..., None], frames
