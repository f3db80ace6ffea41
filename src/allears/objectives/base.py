"""What every objective has, and what the masked ones share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.models.audio_encoder import AudioEncoder
from allears.types import AudioBatch, ObjectiveOutput

Input = Literal["audio", "units", "text"]


class Objective(nn.Module, ABC):
    """A loss around an encoder. Only `encoder` is exported; the rest (heads, quantizers) lives in checkpoints.

    `inputs`: what the batch must carry. `forward` is a pure function of the weights and the batch: whatever is random
    comes from (seed, epoch, key, start).
    """

    inputs: ClassVar[frozenset[Input]]
    encoder: AudioEncoder

    @abstractmethod
    def forward(self, batch: AudioBatch) -> ObjectiveOutput:
        """The loss as (sum, count) with metrics and histograms, see ObjectiveOutput."""


def masked_prediction(logits_MV: Tensor, targets_M: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy summed over M masked frames, and detached facts: correct, codes [V], predictions [V]."""
    loss_sum = functional.cross_entropy(logits_MV.float(), targets_M, reduction="sum")
    with torch.no_grad():
        predicted_M = logits_MV.argmax(-1)
        V = logits_MV.shape[1]
        facts = {
            "correct": (predicted_M == targets_M).sum(),
            "codes": torch.bincount(targets_M, minlength=V),
            "predictions": torch.bincount(predicted_M, minlength=V),
        }
    return loss_sum, facts


def inside(frames_B: Tensor, F: int) -> Tensor:
    """Bool [B, F]: the true frames."""
    return torch.arange(F, device=frames_B.device) < frames_B[:, None]
