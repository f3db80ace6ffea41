"""Parameters of the probe by layer that ends every pretraining."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from allears.params.base import Params
from allears.params.labelled import ClipLimits, Share


class ProbeParams(Params):
    """Frozen features of every layer, pretrained against random initialisation, on held-out speakers."""

    label: str = Field(default="label", description="column, or key of `attributes`, of the linear probe")
    shares: tuple[Share, ...] = Field(default=(0.1, 1.0), min_length=1, description="shares of the labels")
    draws: int = Field(default=3, ge=3, description="random initialisations, and as many draws of labels and heads")
    seed: int = Field(default=0, ge=0)
    workers: int | None = Field(
        default=None, ge=1, description="arms and draws side by side; null: one a core, at most 8"
    )
    limits: ClipLimits = ClipLimits(train=600, dev=200, test=400)
    min_clips_per_class: int = Field(default=10, ge=2, description="training clips below which a class is left out")
    ridges: tuple[float, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1), min_length=1, description="strengths of regularisation; dev speakers choose"
    )
    text_layers: tuple[int, ...] | None = Field(
        default=None, description="blocks whose output the text probe listens to, 0 its input; null: middle and last"
    )
    text_head: Literal["conv", "bilstm"] = Field(
        default="conv", description="the small trainable layer under CTC; a BiLSTM costs about nine times as much"
    )
    text_width: int = Field(default=64, ge=2, description="half the channels of the convolution, or of each LSTM")
    text_updates: int = Field(default=300, ge=1, description="budget of each text probe")
    text_batch_clips: int = Field(default=8, ge=1)
    text_learning_rate: float = Field(default=5e-3, gt=0)
    min_text_clips: int = Field(default=30, ge=1, description="transcribed training clips below which it is left out")
