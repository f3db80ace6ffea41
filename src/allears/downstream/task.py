"""What all tasks share.

Legend: `B` clips, `F` frames, `C` features, `D` width. A task either holds an encoder, and its inputs are features
[B, F, C] (or the audio [B, T], where that is what the encoder takes), or none, and its inputs are what a frozen encoder
made of them, [B, F, D].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from allears.models.base import Encoder
from allears.params.task import TaskConfig
from allears.types import Padded

Prediction = TypeVar("Prediction")


class TaskModel(nn.Module, ABC, Generic[Prediction]):
    """Encoder, head, loss and prediction of one task. `head` takes hidden states and true frames.

    References are the texts of the table of clips. A prediction may be anything that `errors` can compare with one.
    """

    config: TaskConfig

    def __init__(self, config: Any, width: int, encoder: Encoder | None = None, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.head = self.new_head(width, seed)

    @abstractmethod
    def new_head(self, width: int, seed: int) -> nn.Module:
        """Return the head on hidden states of `width`, its weights drawn from `seed`."""

    @classmethod
    @abstractmethod
    def configure(cls, target: str, classes: Sequence[str], references: Sequence[str], head: str) -> TaskConfig:
        """Return the settings for a target. `classes` and `references` are those of training clips; `head` is one of
        the choices that the task offers.
        """

    @abstractmethod
    def card(self) -> str:
        """Return what the model does, as one sentence of Markdown for its card."""

    def forward(self, inputs: Padded) -> Tensor:
        """Return the head's output for each clip or frame."""
        return self.outputs(inputs)[0]

    def outputs(self, inputs: Padded) -> tuple[Tensor, Tensor]:
        """Return the head's output and the true frames of each clip [B], which `inputs` may not count: they may be
        audio.
        """
        if self.encoder is None:
            hidden_BFD, frames_B = inputs.data, inputs.lengths_B
        else:
            encoded = self.encoder.encode(inputs)
            hidden_BFD, frames_B = encoded.last_BFD, encoded.frames_B
        output: Tensor = self.head(hidden_BFD, frames_B)
        return output, frames_B

    @abstractmethod
    def encode_target(self, reference: str) -> list[int]:
        """Return a reference as integers."""

    @abstractmethod
    def loss(self, inputs: Padded, targets: list[list[int]]) -> tuple[Tensor, int]:
        """Return the loss of a batch as (sum, count)."""

    @abstractmethod
    def predict(self, inputs: Padded) -> list[Prediction]:
        """Return one prediction per clip."""

    @abstractmethod
    def errors(self, reference: str, prediction: Prediction) -> tuple[int, int]:
        """Return errors and total of one clip."""

    def as_text(self, prediction: Prediction) -> str:
        """Return a prediction as the table of scores shows it."""
        return str(prediction)
