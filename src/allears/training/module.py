"""One update: gradients of all its micro-batches over the count of the whole, clipped, AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from allears.errors import DamageError, TrainingError
from allears.objectives.base import Objective
from allears.params.pretrain import OptimiserParams
from allears.params.spec_pretrain import PretrainSpec
from allears.training.datamodule import Update
from allears.training.ranks import Ranks
from allears.training.schedules import learning_rate
from allears.types import AudioBatch, ObjectiveOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFacts:
    """What an update found: sums of this rank that the meters add up, on the device; `gradient_norm`, `samples` and
    `clips` are of all ranks, without what was skipped; `skipped` says what this rank did not hear, and why.
    """

    metrics: dict[str, tuple[Tensor, Tensor]]
    histograms: dict[str, Tensor]
    gradient_norm: Tensor
    learning_rate: float
    samples: int
    clips: int
    skipped: tuple[str, ...]


class PretrainModule(LightningModule):
    """Wraps the objective. Since the weights were new, `done` counts updates, `samples_heard` audio without padding and
    `clips_skipped` crops of damaged clips; `facts` are those of the last update.

    An update is a pure function of weights, optimiser state, `done` and the batch: dropout is seeded for each
    micro-batch, so how many ranks share them changes nothing but the order in which floats are added.
    """

    facts: UpdateFacts

    def __init__(self, objective: Objective, spec: PretrainSpec, ranks: Ranks) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self.spec = spec
        self.ranks = ranks
        self.done = spec.first_update
        self.samples_heard = 0
        self.clips_skipped = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; matrices and kernels decay."""
        return build_optimiser(self.objective, self.spec.pretrain.optimiser)

    def training_step(self, batch: Update, batch_idx: int) -> None:
        """One update (called by Lightning)."""
        del batch_idx
        params = self.spec.pretrain
        optimiser = cast("LightningOptimizer", self.optimizers())
        rate = learning_rate(self.done, self.spec.first_update, self.spec.last_update, params.optimiser)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        outputs = []
        for micro in batch.micros:
            seed_generators(dropout_seed(params.seed, self.done, micro.micro), self.device)
            output: ObjectiveOutput = self.objective(micro)
            self._check_finite(output.loss_sum, micro)
            self.manual_backward(output.loss_sum)
            outputs.append(output)
        lost = torch.tensor([len(batch.skipped), batch.skipped_samples], dtype=torch.float64, device=self.device)
        counted = torch.stack([lost.new_zeros(()), *(output.count.double() for output in outputs)]).sum()
        self.ranks.add([counted, lost])  # samples beyond 2^24 are no longer whole numbers in float32
        count = counted.float()
        self.ranks.add_gradients(self.objective)
        norm = divide_and_clip(self.objective, count, params.optimiser.clip_norm)
        if not torch.isfinite(norm):
            raise TrainingError(self._diverged("the gradient", norm))
        clips_lost, samples_lost = (int(each) for each in lost.tolist())
        if clips_lost == batch.clips:
            raise DamageError(self._nothing_left(batch))
        optimiser.step()
        metrics, histograms = add_up(outputs)
        self.facts = UpdateFacts(
            metrics=metrics,
            histograms=histograms,
            gradient_norm=norm,
            learning_rate=rate,
            samples=batch.samples - samples_lost,
            clips=batch.clips - clips_lost,
            skipped=batch.skipped,
        )
        self.done += 1
        self.samples_heard += batch.samples - samples_lost
        self.clips_skipped += clips_lost

    def _check_finite(self, loss_sum: Tensor, micro: AudioBatch) -> None:
        if not torch.isfinite(loss_sum):
            clips = ", ".join(micro.keys[:3]) + (" …" if len(micro.keys) > 3 else "")
            raise TrainingError(self._diverged(f"the loss on clips {clips}", loss_sum))

    def _nothing_left(self, batch: Update) -> str:
        first = f" The first: {batch.skipped[0]}" if batch.skipped else ""
        return (
            f"all {batch.clips} clips of update {self.done + 1} are damaged or gone, and pretrain.on_damage=skip only "
            f"goes on while there is something to hear.{first}"
        )

    def _diverged(self, what: str, value: Tensor) -> str:
        return (
            f"pretraining diverged: {what} is {value.item():g} at update {self.done + 1} of {self.spec.last_update}; "
            "lower pretrain.optimiser.learning_rate, or raise warmup_updates. The weights of the last checkpoint are "
            f"whole: {self.spec.folder / 'checkpoints'}"
        )


def build_optimiser(objective: nn.Module, params: OptimiserParams) -> torch.optim.AdamW:
    """AdamW (fused): weight decay for what has two dimensions or more."""
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": params.weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=params.learning_rate, betas=params.betas, fused=True)


def divide_and_clip(module: nn.Module, count: Tensor, clip_norm: float) -> Tensor:
    """Divide the summed gradients by the summed counts, and shorten them to `clip_norm`; returns the norm before."""
    gradients = [one.grad for one in module.parameters() if one.grad is not None]
    if not gradients:
        return torch.zeros(())
    count = count.clamp(min=1)
    norm = torch.nn.utils.get_total_norm(gradients) / count
    scale = (clip_norm / (norm + 1e-6)).clamp(max=1.0) / count
    torch._foreach_mul_(gradients, scale)
    return norm


def add_up(outputs: Iterable[ObjectiveOutput]) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Metrics and histograms of several micro-batches as one."""
    metrics: dict[str, tuple[Tensor, Tensor]] = {}
    histograms: dict[str, Tensor] = {}
    for output in outputs:
        for name, (total, count) in output.metrics.items():
            before = metrics.get(name)
            metrics[name] = (total, count) if before is None else (before[0] + total, before[1] + count)
        for name, counts in output.histograms.items():
            histograms[name] = histograms[name] + counts if name in histograms else counts
    return metrics, histograms


def seed_generators(seed: int, device: torch.device) -> None:
    """What dropout draws from. `torch.manual_seed` also notes a stack trace for every kind of device there might be,
    which costs a millisecond an update.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def dropout_seed(seed: int, update: int, micro: int) -> int:
    """The seed of torch's global generator, which dropout draws from, for one micro-batch of an update."""
    return int(np.random.SeedSequence([seed, update, micro]).generate_state(1, np.uint64)[0] >> np.uint64(1))
