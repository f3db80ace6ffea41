"""The one place where a task is chosen."""

from __future__ import annotations

from typing import Any

from allears.downstream.classify import Classify
from allears.downstream.ctc import CTC
from allears.downstream.task import TaskModel
from allears.models.base import Encoder
from allears.params.task import ClassifyConfig, CTCConfig, TaskConfig


def task_class(config: type[TaskConfig]) -> type[TaskModel[Any]]:
    """Return the model class of a task's settings."""
    if config is ClassifyConfig:
        return Classify
    if config is CTCConfig:
        return CTC
    raise TypeError(f"no task model of {config.__name__} is known")


def build_task(config: TaskConfig, width: int, encoder: Encoder | None = None, seed: int = 0) -> TaskModel[Any]:
    """Return the task with a new head, drawn from `seed`, on an encoder of `width` (or on its outputs)."""
    return task_class(type(config))(config, width, encoder, seed)
