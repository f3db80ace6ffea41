"""The processes that share one training: who they are, and what they add up.

Lightning's DDP averages gradients of equal parts; ours are sums over counts that differ from rank to rank, so they are
added here, once an update, and divided by the count of the whole (`module.divide_and_clip`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor, nn

from allears.errors import ConfigError, PeerLostError

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Ranks:
    """`rank` of `world` processes; `local` counts those on this machine and names the GPU."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors of one type over all ranks, in place: one message for all of them."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _with_all_others():
            torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        torch._foreach_copy_([tensor.view(-1) for tensor in tensors], list(parts))

    def add_gradients(self, module: nn.Module) -> None:
        """The gradients of all ranks; a rank whose micro-batches only pad the last step adds zeros."""
        if self.world == 1:
            return
        trained = [each for each in module.parameters() if each.requires_grad]
        for each in trained:
            each.grad = torch.zeros_like(each) if each.grad is None else each.grad
        self.add([each.grad for each in trained if each.grad is not None])

    def gather(self, value: Told) -> list[Told]:
        """Everybody's `value`, in order of rank, on every rank; it must be picklable."""
        if self.world == 1:
            return [value]
        everybody: list[Told | None] = [None] * self.world
        with _with_all_others():
            torch.distributed.all_gather_object(everybody, value)
        return [each for each in everybody if each is not None]


def from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """As torchrun says; one process by itself otherwise. ConfigError under an srun that started several."""
    if "RANK" not in environment:
        if (tasks := int(environment.get("SLURM_STEP_NUM_TASKS", "1"))) > 1:
            raise ConfigError(
                f"srun started {tasks} trainings in one folder: let it start one torchrun a node "
                "(srun --ntasks-per-node=1 torchrun …), which starts the processes and tells them apart"
            )
        return Ranks()
    return Ranks(int(environment["RANK"]), int(environment["WORLD_SIZE"]), int(environment["LOCAL_RANK"]))


@contextmanager
def together(ranks: Ranks, accelerator: str) -> Iterator[None]:
    """Connect the processes while the block runs: NCCL between GPUs, gloo between CPUs. One that fails just ends: to
    part in good order it would have to wait for the others.
    """
    if ranks.world == 1:
        yield
        return
    torch.distributed.init_process_group("nccl" if accelerator == "gpu" else "gloo")
    yield
    torch.distributed.destroy_process_group()


@contextmanager
def _with_all_others() -> Iterator[None]:
    """What they do together fails when one is gone (PeerLostError); why, only that one knows."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(f"another process of this training has ended ({error})") from error
