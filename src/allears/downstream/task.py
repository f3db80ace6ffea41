"""What all tasks share.

Legend: `B` clips, `F` frames, `C` features, `D` width. A task either holds an encoder, and its inputs are features
[B, F, C], or none, and its inputs are what a frozen encoder made of them, [B, F, D].
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from allears.models.audio_encoder import AudioEncoder


class TaskModel(nn.Module, ABC):
    """Encoder, head, loss and prediction of one task. `head` takes hidden states and true frames."""

    head: nn.Module

    def __init__(self, encoder: AudioEncoder | None) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs_BFC: Tensor, frames_B: Tensor) -> Tensor:
        """The head's output for each clip or frame."""
        hidden_BFD = inputs_BFC if self.encoder is None else self.encoder.encode(inputs_BFC, frames_B).last_BFD
        output: Tensor = self.head(hidden_BFD, frames_B)
        return output

    @abstractmethod
    def encode_target(self, reference: str) -> list[int]:
        """A reference as integers."""

    @abstractmethod
    def loss(self, inputs_BFC: Tensor, frames_B: Tensor, targets: list[list[int]]) -> tuple[Tensor, int]:
        """The loss of a batch as (sum, count)."""

    @abstractmethod
    def predict(self, inputs_BFC: Tensor, frames_B: Tensor) -> list[str]:
        """One prediction a clip, comparable with its reference."""

    @abstractmethod
    def errors(self, reference: str, prediction: str) -> tuple[int, int]:
        """Errors and total of one clip."""
