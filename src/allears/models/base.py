"""The protocol of an encoder: audio in, one vector per frame out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

from torch import Tensor, nn

from allears.params.model import EncoderConfig
from allears.types import EncoderOutput, Padded


class Encoder(nn.Module, ABC):
    """A family of encoders. `config` builds it again; its weights are drawn from a seed (`models.build`).

    `features` has no parameters. `cacheable_features`: it is worth keeping in memory; otherwise it returns samples.
    A clip's result must not depend on the rest of its batch, and no true frame on padding.
    """

    cacheable_features: ClassVar[bool] = True
    config: EncoderConfig

    @property
    def stride(self) -> int:
        """Steps of `features` per frame: 1, or the hop where the features are samples."""
        return 1 if self.cacheable_features else self.config.hop_samples

    @abstractmethod
    def features(self, audio: Padded) -> Padded:
        """Return the input of `encode` for audio [B, T] float32 in [-1, 1]: features, or samples."""

    @abstractmethod
    def encode(self, features: Padded, mask_BF: Tensor | None = None) -> EncoderOutput:
        """Return every layer's output. Frames where `mask_BF` is True are hidden; padding gives arbitrary vectors."""

    @abstractmethod
    def lowest(self, blocks: int) -> Iterator[nn.Parameter]:
        """Yield the parameters below and in the lowest `blocks` blocks; none when `blocks` is 0.

        The mask embedding is not among them: it is of the objective that hides frames.
        """

    def truncated(self, blocks: int) -> Self:
        """Return a copy that keeps the lowest `blocks` blocks (1 to all of them)."""
        shorter = type(self)(self.config.model_copy(update={"blocks": blocks}))
        weights = self.state_dict()
        shorter.load_state_dict({name: weights[name] for name in shorter.state_dict()})
        return shorter

    def forward(self, audio: Padded, mask_BF: Tensor | None = None) -> EncoderOutput:
        """Return every layer's output for audio [B, T] float32 in [-1, 1]."""
        return self.encode(self.features(audio), mask_BF)
