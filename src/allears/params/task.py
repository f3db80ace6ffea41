"""Settings of the tasks of fine-tuning: one class per task, `AnyTaskConfig` lists them.

They are everything that is needed to build a task's head again.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from allears.params.base import Params

CTCHeadKind = Literal["linear", "conv", "bilstm"]


class TaskConfig(Params):
    """What every task's settings have. `task` names it under `finetune.task`, `target` the column that it learns.

    `learns_text`: the target is the text of a clip, whatever `finetune.target` names. `has_classes`: clips fall into
    classes, of which rare ones are left out and shares are drawn one by one; not so for texts and numbers.
    `head_choices`: the field of `finetune` with the kinds of heads to try; None: the task has one.
    """

    learns_text: ClassVar[bool] = False
    has_classes: ClassVar[bool] = True
    head_choices: ClassVar[str | None] = None
    task: str
    target: str


class ClassifyConfig(TaskConfig):
    """One of `classes` for each clip."""

    task: Literal["classify"] = "classify"
    target: str
    classes: tuple[str, ...] = Field(min_length=2)


class CTCConfig(TaskConfig):
    """Characters of `alphabet`, decoded greedily."""

    learns_text: ClassVar[bool] = True
    has_classes: ClassVar[bool] = False
    head_choices: ClassVar[str | None] = "ctc_heads"
    task: Literal["ctc"] = "ctc"
    target: Literal["text"] = "text"
    alphabet: tuple[str, ...] = Field(min_length=1)
    head: CTCHeadKind = "linear"
    hidden: int = Field(default=128, ge=2, description="width of the head's convolution or LSTM")


AnyTaskConfig = Annotated[ClassifyConfig | CTCConfig, Field(discriminator="task")]
