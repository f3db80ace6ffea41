"""From a task's configuration to its module."""

from __future__ import annotations

from allears.downstream.classify import Classify
from allears.downstream.ctc import CTC
from allears.downstream.task import TaskModel
from allears.models.audio_encoder import AudioEncoder
from allears.params.task import ClassifyConfig, CTCConfig


def build_task(
    config: ClassifyConfig | CTCConfig, width: int, encoder: AudioEncoder | None = None, seed: int = 0
) -> TaskModel:
    """The task with a new head, drawn from `seed`, on an encoder of `width` (or on its outputs)."""
    match config:
        case ClassifyConfig():
            return Classify(config, width, encoder, seed)
        case CTCConfig():
            return CTC(config, width, encoder, seed)
