"""What the process of a fine-tuning grid is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from allears.params.base import Params
from allears.params.finetune import FinetuneParams

VERSION = 4  # raised when a change of code gives other results for the same spec


class TaskPlan(Params):
    """One task that the labels allow: its classes (none for text), the shares that leave enough, what is skipped."""

    task: str
    target: str
    classes: tuple[str, ...] = ()
    shares: tuple[float, ...]
    skipped: tuple[str, ...] = ()
    train_clips: int
    dev_clips: int
    test_clips: int
    groups: int

    @property
    def name(self) -> str:
        """`classify-label`, `ctc-text`."""
        return f"{self.task}-{self.target}"


class FinetuneSpec(Params):
    """`shard_set` is the handle's JSON, `clips` the table of labels of `corpus`, `encoder` an export folder or
    that of a public base, whose record is `base`.

    `baselines`: where the arms that do not depend on the pretrained weights lie. Every encoder that is fine-tuned with
    the same labels, settings and architecture is compared with the same ones, trained once.
    """

    task: Literal["finetune"] = "finetune"
    folder: Path
    baselines: Path
    identity: str
    corpus: str
    shard_set: dict[str, Any]
    clips: Path
    encoder: Path
    base: dict[str, Any] | None = None
    plans: tuple[TaskPlan, ...]
    finetune: FinetuneParams
