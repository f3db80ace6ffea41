"""Classification of whole clips."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from allears.downstream.task import TaskModel
from allears.evaluation.error_rates import class_errors
from allears.models.audio_encoder import AudioEncoder
from allears.models.heads import MeanPoolLinear
from allears.params.task import ClassifyConfig


class Classify(TaskModel):
    """The mean over true frames, a linear layer, cross entropy."""

    def __init__(self, config: ClassifyConfig, width: int, encoder: AudioEncoder | None = None, seed: int = 0) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = MeanPoolLinear(width, len(config.classes), seed)

    def encode_target(self, reference: str) -> list[int]:
        """The class's position, alone in a list. ValueError for a class that the task does not have."""
        return [self.config.classes.index(reference)]

    def loss(self, inputs_BFC: Tensor, frames_B: Tensor, targets: list[list[int]]) -> tuple[Tensor, int]:
        """Summed cross entropy and clips."""
        logits_BV = self(inputs_BFC, frames_B)
        classes_B = torch.tensor([target[0] for target in targets], device=logits_BV.device)
        return functional.cross_entropy(logits_BV, classes_B, reduction="sum"), len(targets)

    @torch.inference_mode()
    def predict(self, inputs_BFC: Tensor, frames_B: Tensor) -> list[str]:
        """The most likely class of each clip."""
        return [self.config.classes[index] for index in self(inputs_BFC, frames_B).argmax(-1).tolist()]

    def errors(self, reference: str, prediction: str) -> tuple[int, int]:
        """(0 or 1, 1)."""
        return class_errors(reference, prediction)
