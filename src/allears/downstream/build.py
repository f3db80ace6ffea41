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
    match config.__name__:
        case ClassifyConfig.__name__:
            return Classify
        case CTCConfig.__name__:
            return CTC
        case other:
            raise TypeError(f"no task model of {other} is known")


def build_task(config: TaskConfig, width: int, encoder: Encoder | None = None, seed: int = 0) -> TaskModel[Any]:
    """Return the task with a new head, drawn from `seed`, on an encoder of `width` (or on its outputs)."""
    return task_class(type(config))(config, width, encoder, seed)
