"""Front end and encoder as one module: samples in, one vector a frame out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from allears.models.conformer.model import ConformerEncoder
from allears.models.log_mel import LogMel
from allears.params.model import AudioEncoderConfig
from allears.types import EncoderOutput

__all__ = ["AudioEncoder", "AudioEncoderConfig"]


class AudioEncoder(nn.Module):
    """A log-mel front end and a Conformer. All weights are drawn from `seed`, whatever was drawn before."""

    def __init__(self, config: AudioEncoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.frontend = LogMel(config.log_mel)
        self.encoder = ConformerEncoder(config.conformer, config.log_mel.width)
        self.encoder.initialise(torch.Generator().manual_seed(seed))

    def forward(self, audio_BT: Tensor, samples_B: Tensor, mask_BF: Tensor | None = None) -> EncoderOutput:
        """`audio_BT` float32 in [-1, 1], zero-padded; `mask_BF` bool: frames to hide."""
        return self.encode(*self.features(audio_BT, samples_B), mask_BF)

    def features(self, audio_BT: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised log-mels [B, F, C] and true frames [B]."""
        features_BFC, frames_B = self.frontend(audio_BT, samples_B)
        return features_BFC, frames_B

    def encode(self, features_BFC: Tensor, frames_B: Tensor, mask_BF: Tensor | None = None) -> EncoderOutput:
        """The encoder alone, on features."""
        output: EncoderOutput = self.encoder(features_BFC, frames_B, mask_BF)
        return output
