"""Floating-point operations of a training, and the peak of the device they run on."""

from __future__ import annotations

import warnings

import torch
from lightning_fabric.utilities.throughput import get_available_flops
from torch.distributed.fsdp import FSDPModule
from torch.utils.flop_counter import FlopCounterMode

from allears.errors import is_memory_error
from allears.objectives.base import Objective
from allears.training.memory import forget_frames
from allears.training.plan import TrainingData
from allears.types import Batch


def training_flops(objective: Objective, batch: Batch, data: TrainingData) -> float:
    """Return the operations of a forward and backward pass per second of audio, padding included.

    0 where the objective reads no audio, or its weights are sharded (a forward pass then takes all ranks).
    """
    if batch.audio is None or isinstance(objective, FSDPModule):
        return 0.0
    seconds = 3600 * data.hours(batch.audio.data.numel())
    trained = [each for each in objective.parameters() if each.requires_grad]
    try:
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            torch.autograd.grad(objective(batch).loss_sum, trained, allow_unused=True)
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        forget_frames(error)  # they hold the tensors that did not leave room
        return 0.0  # the training itself will find out, and name what fits
    return float(counter.get_total_flops()) / seconds


def peak_flops(device: torch.device) -> float | None:
    """Return the device's peak operations per second in bfloat16, by its data sheet; None where that is not known."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_available_flops(device, torch.bfloat16)
