"""Parameters of `finetune`."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from allears.params.base import Accelerator, Params, Precision, known, members
from allears.params.labelled import ClipLimits, Share
from allears.params.task import AnyTaskConfig, CTCHeadKind, TaskConfig

Arm = Literal["pretrained", "scratch", "random_frozen"]
ARMS: tuple[Arm, ...] = get_args(Arm)


class FinetuneParams(Params):
    """The grid: task × share of the labels × arm × learning rate × seed. All arms get the same budget and rates."""

    encoder: str | None = Field(
        default=None, description="null: this corpus's; the name of another corpus; or the folder of an export"
    )
    task: str = Field(
        default="auto", description="the name of a task; all: every one; auto: the first that the labels allow"
    )
    target: str = Field(default="label", description="column, or key of `attributes`, that `classify` learns")
    arms: tuple[Arm, ...] = Field(default=ARMS, min_length=1)
    shares: tuple[Share, ...] = Field(default=(0.01, 0.1, 1.0), min_length=1, description="shares of the labels")
    learning_rates: tuple[float, ...] = Field(
        default=(1e-3, 3e-3),
        min_length=1,
        description="dev speakers choose one for each arm and share",
    )
    seeds: int = Field(default=3, ge=1, description="repetitions: labels, order, new weights; at least 3 for intervals")
    seed: int = Field(default=0, ge=0)
    updates: int = Field(default=300, ge=1, description="budget of every cell of the grid")
    batch_clips: int = Field(default=4, ge=1)
    dev_every: int = Field(default=60, ge=1, description="updates between checks on dev speakers; the best is kept")
    warmup_share: float = Field(default=0.1, ge=0, lt=1, description="of the updates, before the linear decay to zero")
    weight_decay: float = Field(default=0.01, ge=0)
    keep_blocks: int | None = Field(default=None, ge=1, description="lowest blocks of the encoder to use; null: all")
    frozen_blocks: int = Field(default=0, ge=0, description="lowest blocks that stay as pretrained (pretrained arm)")
    frozen_updates: int = Field(default=100, ge=0, description="first updates of the head only (pretrained arm)")
    encoder_lr_factor: float = Field(default=0.33, gt=0, le=1, description="of the learning rate, for the encoder")
    ctc_heads: tuple[CTCHeadKind, ...] = Field(
        default=("linear", "conv"),
        min_length=1,
        description="heads for characters; dev speakers choose one for each arm and share, with the learning rate",
    )
    limits: ClipLimits = ClipLimits(dev=100, test=400)
    min_class_clips: int = Field(default=10, ge=2, description="training clips below which a class is left out")
    min_clips_per_class: int = Field(default=2, ge=1, description="a share that leaves a class fewer is skipped")
    min_text_clips: int = Field(
        default=30, ge=1, description="a share that leaves fewer clips with a text or number is skipped"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="trainings side by side on a CPU; null: one a core, at most 8; results are the same",
    )
    accelerator: Accelerator = Field(default="auto", description="auto: gpu, if any")
    precision: Precision = Field(default="auto", description="auto: bf16-mixed on a GPU, 32 on a CPU")
    leave_one_group_out: bool = Field(
        default=False, description="each speaker in turn is the test; needs the encoder of another corpus"
    )

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        return known("finetune.task", value, ("auto", "all", *members(AnyTaskConfig, "task")))

    @property
    def tasks(self) -> dict[str, type[TaskConfig]]:
        """The tasks to try, in order, by name."""
        every: dict[str, type[TaskConfig]] = members(AnyTaskConfig, "task")
        return every if self.task in ("auto", "all") else {self.task: every[self.task]}
