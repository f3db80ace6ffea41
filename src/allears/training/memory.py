"""What to do when a batch does not fit into memory: find the largest that does, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from allears.errors import TrainingError
from allears.objectives.base import Objective
from allears.training.datamodule import moved
from allears.types import Batch, Padded

STEPS = 6  # halvings of the batch that are tried


@contextmanager
def out_of_memory(objective: Objective, batch: Batch) -> Iterator[None]:
    """Turn an error of the allocator into a TrainingError that names the largest part of the batch that fits."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        error.__traceback__ = None  # its frames hold the tensors that did not leave room
        failed = True
    else:
        failed = False
    if failed:
        share = largest_share(objective, batch)
        advice = (
            f"about {100 * share:.0f} % of it fits: multiply pretrain.batch.seconds by {share:.2g} and "
            "pretrain.batch.micro_batches accordingly, for the same audio per update"
            if share
            else "not even one clip of it fits: lower pretrain.batch.crop_s, or choose a smaller encoder"
        )
        raise TrainingError(f"the device has not enough memory for a micro-batch of {len(batch.keys)} clips; {advice}")


def largest_share(objective: Objective, batch: Batch) -> float:
    """Return the largest share of a batch's clips, by halving, whose forward and backward pass fits; 0 for none."""
    rows = len(batch.keys)
    for _ in range(STEPS):
        rows //= 2
        if not rows:
            return 0.0
        if _fits(objective, _first(batch, rows, objective)):
            return rows / len(batch.keys)
    return 0.0


def _fits(objective: Objective, batch: Batch) -> bool:
    parameters = [each for each in objective.parameters() if each.requires_grad]
    nn.Module.zero_grad(objective)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        torch.autograd.grad(objective(batch).loss_sum, parameters, allow_unused=True)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        return False
    return True


def _first(batch: Batch, rows: int, objective: Objective) -> Batch:
    """The first clips of a batch, prepared anew."""

    def cut(value: Padded | None) -> Padded | None:
        return None if value is None else Padded(value.data[:rows].cpu(), value.lengths_B[:rows].cpu(), value.full)

    device = next(objective.parameters()).device
    part = replace(
        batch, keys=batch.keys[:rows], starts=batch.starts[:rows], before=batch.before[:rows], prepared={},
        audio=cut(batch.audio), units=cut(batch.units), texts=batch.texts and batch.texts[:rows],
        labels=batch.labels and batch.labels[:rows],
    )  # fmt: skip
    return moved(replace(part, prepared=objective.prepare(part)), lambda tensor: tensor.to(device))


def _is_memory(error: BaseException) -> bool:
    words = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in words
