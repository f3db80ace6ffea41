"""What a task model is: everything needed to build its head again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from allears.params.base import Params

CTCHeadKind = Literal["linear", "conv", "bilstm"]


class ClassifyConfig(Params):
    """One of `classes` for each clip."""

    task: Literal["classify"] = "classify"
    target: str
    classes: tuple[str, ...] = Field(min_length=2)


class CTCConfig(Params):
    """Characters of `alphabet`, decoded greedily."""

    task: Literal["ctc"] = "ctc"
    target: Literal["text"] = "text"
    alphabet: tuple[str, ...] = Field(min_length=1)
    head: CTCHeadKind = "linear"
    hidden: int = Field(default=128, ge=2, description="width of the head's convolution or LSTM")


TaskConfig = Annotated[ClassifyConfig | CTCConfig, Field(discriminator="task")]
