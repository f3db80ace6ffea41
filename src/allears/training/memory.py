"""What to do when a batch does not fit into memory: find the largest part that does, and name it."""

from __future__ import annotations

import ctypes
import math
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from allears.errors import TrainingError, is_memory_error
from allears.objectives.base import Objective
from allears.params.pretrain import BatchParams
from allears.training.datamodule import moved
from allears.types import Batch, Padded

STEPS = 8  # halvings of the batch that are tried
# Of what fitted: as batches of other lengths come, memory breaks into pieces. On a CPU a training had taken twice the
# memory of its first batch after six others (glibc); a GPU's allocator keeps pieces of like sizes together.
MARGIN = {"cpu": 0.5, "cuda": 0.8}
OPTIMISER_COPIES = 2  # AdamW's two moments, as large as the parameters: they are there from the first update on


@contextmanager
def out_of_memory(
    objective: Objective, batch: Batch, params: BatchParams, capacity: int, *, moments: bool
) -> Iterator[None]:
    """Turn an error of the allocator into a TrainingError that names the largest part of the batch that fits.

    `capacity` is the plan's, which not every batch fills. `moments`: whether the optimiser's state is in memory
    already. What failed must have frames of its own: they are cleared, as they hold the
    tensors that left no room.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        forget_frames(error)
        if isinstance(objective, FSDPModule):  # a trial takes all ranks, and the others wait elsewhere
            raise
        rows = largest_part(objective, batch, 0 if moments else OPTIMISER_COPIES)
        margin = MARGIN.get(next(objective.parameters()).device.type, 0.5)
        share = margin * _filled(batch, capacity) * rows / len(batch.keys)
        raise TrainingError(_sentence(share, len(batch.keys), params)) from None


def forget_frames(error: BaseException) -> None:
    """Release what the frames of an error hold (its traceback stays, and with it who called whom)."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def largest_part(objective: Objective, batch: Batch, copies: int) -> int:
    """Return how many clips of a batch, by halving, pass forward and backward; 0 for none.

    `copies`: how much more memory a training needs, in sizes of its parameters.
    """
    rows = len(batch.keys)
    for _ in range(STEPS):
        rows //= 2
        if not rows:
            return 0
        if _tried(objective, batch, rows, copies):
            return rows
    return 0


def _sentence(share: float, clips: int, params: BatchParams) -> str:
    seconds = _rounded_down(share * params.seconds)
    failed = f"the device has not enough memory for a micro-batch of {clips} clips ({params.seconds:g} s)"
    if seconds >= params.crop_s:
        return (
            f"{failed}; about {100 * share:.0f} % of it fits: set pretrain.batch.seconds to {seconds:g}, and multiply "
            f"pretrain.batch.micro_batches by {math.ceil(params.seconds / seconds)} for the same audio per update"
        )
    fits = f"about {100 * share:.0f} %, less than one crop," if share else "not even one clip"
    return f"{failed}; {fits} of it fits: lower pretrain.batch.crop_s, or choose a smaller encoder"


def _filled(batch: Batch, capacity: int) -> float:
    """Return the part of the capacity that a batch takes, padding included; 1 where only texts are read."""
    sequences = batch.audio or batch.units
    return 1.0 if sequences is None else min(1.0, sequences.data.numel() / capacity)


def _rounded_down(value: float) -> float:
    """Two significant digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.floor(value / unit + 1e-9) * unit, 6)


def _tried(objective: Objective, batch: Batch, rows: int, copies: int) -> bool:
    """Whether the first `rows` clips fit. On a CPU each trial has a thread of its own: once oneDNN has found no memory
    for a kernel, it refuses every later one of the same thread.
    """
    nn.Module.zero_grad(objective)
    _give_back()
    device = next(objective.parameters()).device.type
    if device != "cpu":
        return _fits(objective, batch, rows, copies)
    mixed, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)  # a new thread has neither

    def trial() -> bool:
        with torch.autocast(device, dtype, enabled=mixed):
            return _fits(objective, batch, rows, copies)

    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(trial).result()
    except RuntimeError as error:
        if not is_memory_error(error):
            raise
        return False


def _fits(objective: Objective, batch: Batch, rows: int, copies: int) -> bool:
    parameters = [each for each in objective.parameters() if each.requires_grad]
    try:
        reserved = [torch.empty_like(each) for each in parameters for _ in range(copies)]
        with torch.compiler.set_stance("force_eager"):
            loss = objective(_first(batch, rows, objective)).loss_sum
        torch.autograd.grad(loss, parameters, allow_unused=True)
        del reserved
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        forget_frames(error)
        return False
    return True


def _give_back() -> None:
    """Return memory that nothing uses to the driver and to the kernel: what does not come from torch needs some too."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


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
