"""One update: gradients of all its micro-batches over the count of the whole, clipped, AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch._dynamo import config, maybe_mark_dynamic
from torch.nn.parallel import DistributedDataParallel

from allears.models.base import Encoder
from allears.objectives.base import Objective
from allears.params.pretrain import OptimiserParams
from allears.params.spec_pretrain import PretrainSpec
from allears.training.datamodule import Update
from allears.training.memory import out_of_memory
from allears.training.ranks import Ranks, shard, synchronised
from allears.training.schedules import learning_rate
from allears.types import Batch, ObjectiveOutput

Number = TypeVar("Number", float, Tensor)
Counts = TypeVar("Counts", Tensor, NDArray[np.int64])


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFacts:
    """Results of an update, on the device: nothing here has been waited for.

    `metrics`, `histograms` and `losses` (one per micro-batch) are sums of this rank; `gradient_norm` and `lost` (clips
    and length that were skipped) are of all ranks. `keys` are the clips of each micro-batch, `skipped` those of this
    rank that were left out, with their faults.
    """

    number: int
    metrics: dict[str, tuple[Tensor, Tensor]]
    histograms: dict[str, Tensor]
    losses: list[Tensor]
    gradient_norm: Tensor
    lost: Tensor
    learning_rate: float
    length: int
    clips: int
    keys: list[tuple[str, ...]]
    skipped: tuple[str, ...]


class PretrainModule(LightningModule):
    """Wraps the objective; `facts` are those of the last update. Lightning's `global_step` counts updates since the
    weights were new.

    An update is a pure function of weights, optimiser state, number and batch: dropout is seeded for each micro-batch,
    so how many ranks share them changes nothing but the order in which floats are added.
    """

    facts: UpdateFacts

    def __init__(self, objective: Objective, spec: PretrainSpec, ranks: Ranks, precision: str) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self.spec = spec
        self.ranks = ranks
        self.precision = precision
        self.dev_outputs: list[ObjectiveOutput] = []
        self.strict_loading = all(each.requires_grad for each in objective.parameters())  # checkpoints lack frozen ones

    def configure_model(self) -> None:
        """Shard the weights, where the strategy is FSDP (called by Lightning once the processes are connected)."""
        if self.device_mesh is not None:
            shard(self.objective, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW; matrices and kernels decay."""
        return build_optimiser(self.objective, self.spec.pretrain.optimiser)

    def training_step(self, batch: Update, batch_idx: int) -> None:
        """Do one update (called by Lightning)."""
        del batch_idx
        params, done = self.spec.pretrain, self.global_step
        optimiser = cast("LightningOptimizer", self.optimizers())
        rate = learning_rate(done, self.spec.first_update, self.spec.last_update, params.optimiser)
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        optimiser.zero_grad(set_to_none=True)
        outputs: list[ObjectiveOutput] = []
        counted, summing = batch.counted.clone(), None  # float64: lengths over 2^24 are no whole numbers in float32
        wrapped, capacity = self.trainer.strategy.model, batch.capacity
        for micro in batch.micros:
            last = micro is batch.micros[-1]
            with (
                out_of_memory(self.objective, micro, params.batch, capacity, moments=bool(optimiser.state)),
                synchronised(wrapped, self.objective, last=last),
            ):
                output, summing = self._learn(micro, counted, last=last)
            outputs.append(output)
        if summing is not None:
            summing.wait()
        norm = divide_and_clip(self.objective, counted[0].float(), params.optimiser.clip_norm)
        optimiser.step()
        metrics, histograms = add_up(outputs)
        self.facts = UpdateFacts(
            number=done + 1, metrics=metrics, histograms=histograms,
            losses=[output.loss_sum.detach() for output in outputs], gradient_norm=norm, lost=counted[1:],
            learning_rate=rate, length=batch.length, clips=batch.clips, keys=[micro.keys for micro in batch.micros],
            skipped=batch.skipped,
        )  # fmt: skip

    def _learn(
        self, micro: Batch, counted: Tensor, *, last: bool
    ) -> tuple[ObjectiveOutput, torch.distributed.Work | None]:
        """Add the gradients of a micro-batch; after the last one `counted` is being summed over the ranks."""
        params = self.spec.pretrain
        seed_generators(dropout_seed(params.seed, self.global_step, micro.micro), self.device)
        output: ObjectiveOutput = self.objective(mark_dynamic(micro) if params.compile else micro)
        counted[0] += output.count.double()
        summing = self.ranks.add(counted) if last else None
        self.manual_backward(output.loss_sum + (self._reach_all() if last else 0))
        return output, summing

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take the loss on one batch of dev speakers (called by Lightning, in evaluation mode and autocast)."""
        seed_generators(dropout_seed(self.spec.pretrain.seed, 0, batch_idx), self.device)
        self.dev_outputs.append(self.objective(mark_dynamic(batch) if self.spec.pretrain.compile else batch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained or cannot be derived: no frozen weights (called by Lightning)."""
        frozen = {name for name, each in self.named_parameters() if not each.requires_grad}
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in weights.items() if name not in frozen}
        checkpoint["precision"] = self.precision

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Complete a checkpoint with the frozen weights, which are here already (called by Lightning).

        Under FSDP the strategy has loaded the weights itself.
        """
        if "state_dict" not in checkpoint:
            return
        frozen = {name: each.detach() for name, each in self.named_parameters() if not each.requires_grad}
        checkpoint["state_dict"] = frozen | checkpoint["state_dict"]

    def _reach_all(self) -> Tensor | int:
        """Return, under DDP, a zero that reaches every parameter: it waits for the gradients of all, used or not."""
        if not isinstance(self.trainer.strategy.model, DistributedDataParallel):
            return 0
        zero: Tensor = _Reach.apply(*(each for each in self.objective.parameters() if each.requires_grad))  # type: ignore[no-untyped-call]
        return zero


class _Reach(torch.autograd.Function):
    """A zero that depends on its arguments, and adds nothing to their gradients."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> Tensor:
        """Return the zero."""
        ctx.count = len(parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:
        """Return no gradient for each; DDP counts it as arrived."""
        del gradients
        none: tuple[None, ...] = (None,) * ctx.count
        return none


def mark_dynamic(batch: Batch) -> Batch:
    """Tell `torch.compile` which lengths differ from batch to batch of the same shape: those of axes M and N.

    `prepared` has names that end in shapes: `hidden_M` are M places, however many frames are hidden.
    """
    for name, tensor in batch.prepared.items():
        for axis, letter in enumerate(name.rpartition("_")[2]):
            if letter in "MN":
                maybe_mark_dynamic(tensor, axis)
    return batch


def compile_objective(objective: nn.Module, shapes: int, backend: str = "inductor") -> None:
    """Compile the objective in place, once per shape of batches, for training and for validation.

    torch gives up at 8 recompilations by itself, which are fewer than a common number of buckets.
    """
    config.recompile_limit = max(config.recompile_limit, 2 * shapes + 2)
    objective.compile(fullgraph=True, dynamic=False, backend=backend)


def build_optimiser(objective: nn.Module, params: OptimiserParams) -> torch.optim.AdamW:
    """Return AdamW (fused): weight decay for what has two dimensions or more.

    Each group has the `scale` of its rate: 1 for heads, `layer_decay` once more for each block from the top of the
    encoder (as BEiT, arXiv 2106.08254, appendix).
    """
    groups = [
        {"params": some, "weight_decay": decay, "scale": scale}
        for scale, trained in by_scale(objective, params.layer_decay).items()
        for decay, some in (
            (params.weight_decay, [one for one in trained if one.ndim >= 2]),
            (0.0, [one for one in trained if one.ndim < 2]),
        )
        if some
    ]
    return torch.optim.AdamW(groups, lr=params.learning_rate, betas=params.betas, fused=True)


def by_scale(objective: nn.Module, layer_decay: float) -> dict[float, list[nn.Parameter]]:
    """Return the parameters that are trained, by the scale of their learning rate."""
    scales: dict[nn.Parameter, float] = {}
    encoder = objective.exports().get("encoder") if isinstance(objective, Objective) else None
    if isinstance(encoder, Encoder) and layer_decay < 1:
        for blocks in range(encoder.config.blocks, 0, -1):
            scale = layer_decay ** (encoder.config.blocks - blocks + 1)
            scales |= dict.fromkeys(encoder.lowest(blocks), scale)
    found: dict[float, list[nn.Parameter]] = {}
    for each in objective.parameters():
        if each.requires_grad:
            found.setdefault(scales.get(each, 1.0), []).append(each)
    return found


def divide_and_clip(module: nn.Module, count: Tensor, clip_norm: float) -> Tensor:
    """Divide the summed gradients by the summed counts, and shorten them to `clip_norm`; returns the norm before."""
    gradients = [one.grad for one in module.parameters() if one.grad is not None]
    if not gradients:
        return count.new_zeros(())
    count = count.clamp(min=1)
    total = torch.nn.utils.get_total_norm(gradients)
    if isinstance(total, torch.distributed.tensor.DTensor):
        total = total.full_tensor()
    norm = total / count
    scale = (clip_norm / (norm + 1e-6)).clamp(max=1.0) / count
    torch._foreach_mul_(gradients, scale)
    return norm


def add_up(outputs: Iterable[ObjectiveOutput]) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Return metrics and histograms of several micro-batches as one."""
    metrics: dict[str, tuple[Tensor, Tensor]] = {}
    histograms: dict[str, Tensor] = {}
    for output in outputs:
        add_sums(metrics, output.metrics)
        add_histograms(histograms, output.histograms)
    return metrics, histograms


def add_sums(sums: dict[str, tuple[Number, Number]], more: Mapping[str, tuple[Number, Number]]) -> None:
    """Add (sum, count) of each name to `sums`, in place."""
    for name, (total, count) in more.items():
        before = sums.get(name)
        sums[name] = (total, count) if before is None else (before[0] + total, before[1] + count)


def add_histograms(histograms: dict[str, Counts], more: Mapping[str, Counts]) -> None:
    """Add counts of each name to `histograms`, in place."""
    for name, counts in more.items():
        histograms[name] = histograms[name] + counts if name in histograms else counts


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed what dropout draws from.

    `torch.manual_seed` also notes a stack trace for every kind of device there might be: a millisecond per update.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def dropout_seed(seed: int, update: int, micro: int) -> int:
    """Return the seed of torch's global generator, which dropout draws from, for one micro-batch of an update."""
    return int(np.random.SeedSequence([seed, update, micro]).generate_state(1, np.uint64)[0] >> np.uint64(1))
