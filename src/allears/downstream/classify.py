"""Classification of whole clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from allears.downstream.task import TaskModel
from allears.evaluation.error_rates import class_errors
from allears.models.heads import MeanPoolLinear
from allears.params.task import ClassifyConfig
from allears.types import Padded


class Classify(TaskModel[str]):
    """The mean over true frames, a linear layer, cross entropy."""

    config: ClassifyConfig

    def new_head(self, width: int, seed: int) -> MeanPoolLinear:
        """Return a linear layer on the mean over time."""
        return MeanPoolLinear(width, len(self.config.classes), seed)

    @classmethod
    def configure(cls, target: str, classes: Sequence[str], references: Sequence[str], head: str) -> ClassifyConfig:
        """Return the settings for the classes of a target."""
        del references, head
        return ClassifyConfig(target=target, classes=tuple(classes))

    def card(self) -> str:
        """Return which classes it distinguishes."""
        classes = self.config.classes
        return f"It names the `{self.config.target}` of a clip, one of {len(classes)}: {', '.join(classes)}."

    def encode_target(self, reference: str) -> list[int]:
        """Return the class's position, alone in a list. ValueError for a class that the task does not have."""
        return [self.config.classes.index(reference)]

    def loss(self, inputs: Padded, targets: list[list[int]]) -> tuple[Tensor, int]:
        """Return summed cross entropy and clips."""
        logits_BV = self(inputs).float()
        classes_B = torch.tensor([target[0] for target in targets]).to(logits_BV.device, non_blocking=True)
        return functional.cross_entropy(logits_BV, classes_B, reduction="sum"), len(targets)

    @torch.inference_mode()
    def predict(self, inputs: Padded) -> list[str]:
        """Return the most likely class of each clip."""
        return [self.config.classes[index] for index in self(inputs).argmax(-1).tolist()]

    def errors(self, reference: str, prediction: str) -> tuple[int, int]:
        """Return (0 or 1, 1)."""
        return class_errors(reference, prediction)
