import pytest
import torch

from allears.models.base import Encoder
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig
from allears.types import Padded


@pytest.fixture
def encoder() -> Encoder:
    """Two blocks of width 16."""
    return build_encoder(ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32))


@pytest.fixture
def batch() -> Padded:
    """Features of three clips of 20, 12 and 7 frames; zeros beyond."""
    frames = torch.tensor([20, 12, 7])
    features = torch.randn(3, 20, 320, generator=torch.Generator().manual_seed(0))
    return Padded(features * (torch.arange(20) < frames[:, None])[..., None], frames)
