"""The processes that share one training: their ranks, what they exchange, and how their gradients add up.

Lightning's DDP averages gradients of equal parts; ours are sums over counts that differ between ranks. So a hook sums
them (on GPUs while the backward pass goes on, as fairseq2's `nn/ddp.py` does), and `module.divide_and_clip` divides by
the count of the whole update.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor, nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from allears.errors import ConfigError, PeerLostError
from allears.params.pretrain import PretrainParams

Told = TypeVar("Told")
# What torch says when another process is gone or does not answer: gloo raises plain RuntimeErrors.
_LOST = (
    "gloo",
    "Connection closed by peer",
    "Connection reset by peer",
    "NCCL",
    "Broken pipe",
    "timed out",
    "Timed out",
    "timeout caused pair closure",
)


@dataclass(frozen=True, slots=True)
class Ranks:
    """`rank` of `world` processes; `local` of `node` counts those on this machine and names the GPU."""

    rank: int = 0
    world: int = 1
    local: int = 0
    node: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints for all."""
        return self.rank == 0

    def gather(self, value: Told) -> list[Told]:
        """Return everybody's `value`, in order of rank, on every rank; it must be picklable."""
        if self.world == 1:
            return [value]
        everybody: list[Told | None] = [None] * self.world
        torch.distributed.all_gather_object(everybody, value)
        return [each for each in everybody if each is not None]

    def add(self, tensor: Tensor) -> torch.distributed.Work | None:
        """Begin to sum a tensor over all ranks, in place; `wait()` before it is used. None on one rank."""
        return None if self.world == 1 else torch.distributed.all_reduce(tensor, async_op=True)


def from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return what torchrun set; one process by itself otherwise. ConfigError under an srun that started several."""
    if "RANK" not in environment:
        if (tasks := int(environment.get("SLURM_STEP_NUM_TASKS", "1"))) > 1:
            raise ConfigError(
                f"srun started {tasks} trainings in one folder: let it start one torchrun per node "
                "(srun --ntasks-per-node=1 torchrun …), which starts the processes and tells them apart"
            )
        return Ranks()
    world = int(environment["WORLD_SIZE"])
    return Ranks(
        int(environment["RANK"]), world, int(environment["LOCAL_RANK"]), int(environment.get("LOCAL_WORLD_SIZE", world))
    )


class SumDDP(DDPStrategy):
    """DDP that sums gradients instead of averaging them."""

    def _register_ddp_hooks(self) -> None:
        model = cast("DistributedDataParallel", self.model)
        # A lambda, as torch compares annotations of a hook, and takes ours for strings.
        model.register_comm_hook(None, lambda state, bucket: sum_gradients(state, bucket))  # noqa: PLW0108


def sum_gradients(state: object, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Sum a bucket of gradients over all ranks, without waiting (a hook of DistributedDataParallel)."""
    del state
    future = torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
    return cast("torch.futures.Future[Tensor]", future.then(lambda done: done.value()[0]))


def new_strategy(params: PretrainParams, ranks: Ranks, device: torch.device) -> Strategy:
    """Return Lightning's strategy for these processes. FSDP2 runs on CPUs too, for tests: there it saves nothing."""
    timeout = timedelta(seconds=params.timeout_s)
    if ranks.world == 1:
        return SingleDeviceStrategy(device)
    if params.strategy == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=ranks.world, tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timeout
        )
    # On a CPU the sum takes the core that the backward pass needs: there all gradients are summed at once, at its end.
    bucket_mb = 1000 if device.type == "cpu" else 25
    return SumDDP(
        cluster_environment=TorchElasticEnvironment(), timeout=timeout, broadcast_buffers=False,
        gradient_as_bucket_view=True, bucket_cap_mb=bucket_mb,
    )  # fmt: skip


def shard(objective: nn.Module, mesh: Any) -> None:
    """Shard weights over the GPUs of `mesh` (FSDP2), block by block; gradients are summed, not averaged.

    Blocks are the members of lists called `blocks` or, in transformers, `layers`: others may be parts that are never
    called by themselves, whose weights would not be gathered.
    """
    lists = [each for name, each in objective.named_modules() if name.rpartition(".")[2] in ("blocks", "layers")]
    blocks = [block for each in lists if isinstance(each, nn.ModuleList) for block in each]
    for each in (*blocks, objective):
        fully_shard(each, mesh=mesh)
        sharded = cast("FSDPModule", each)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)


def synchronised(wrapped: nn.Module | None, objective: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Return the context of a micro-batch: only in that of the last one are gradients summed over the ranks."""
    if isinstance(objective, FSDPModule):
        objective.set_requires_gradient_sync(last)
    if isinstance(wrapped, DistributedDataParallel) and not last:
        return cast("AbstractContextManager[None]", wrapped.no_sync())
    return nullcontext()


@contextmanager
def with_all_others(ranks: Ranks) -> Iterator[None]:
    """Turn what torch raises when another process has ended or does not answer into PeerLostError."""
    try:
        yield
    except RuntimeError as error:
        if ranks.world == 1 or not any(sign in str(error) for sign in _LOST):
            raise
        raise PeerLostError(
            f"another process of this training has ended, or did not answer in time ({_first_line(error)}). "
            "Run the same command again: it goes on from the last checkpoint"
        ) from error


def _first_line(error: RuntimeError) -> str:
    """Return what torch says first, without where: an error in a hook of gradients is wrapped in another one."""
    return str(error).splitlines()[0].rpartition("RuntimeError: ")[2]
