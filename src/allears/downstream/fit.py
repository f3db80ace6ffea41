"""Train one task model with a budget of updates, and keep the state that was best on dev speakers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from allears.downstream.examples import Examples, length_batches, training_batches
from allears.downstream.task import TaskModel
from allears.errors import TrainingError
from allears.types import Padded

DEV_FRAMES = 4000  # frames of one batch without gradients, padding included
CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """`frozen_updates`, `frozen_blocks` and `encoder_lr_factor` concern the encoder, where the task holds one."""

    learning_rate: float
    updates: int
    batch_clips: int
    dev_every: int
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    encoder_lr_factor: float = 1.0
    frozen_updates: int = 0
    frozen_blocks: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Errors on dev speakers after `step` updates and `seconds` of training (checks not counted)."""

    step: int
    seconds: float
    errors: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """All checks, the best one, and the model's state at that one."""

    checks: tuple[Check, ...]
    best: Check
    state: dict[str, Tensor]


def fit(model: TaskModel[Any], train: Examples, dev: Examples, settings: FitSettings, device: torch.device) -> Fit:
    """Train `model` in place. Equal settings and data give equal results on a CPU with one thread.

    Of equally good checks the last is kept. Raises TrainingError when the loss is not finite.
    """
    model.to(device)
    targets = [model.encode_target(reference) for reference in train.references]
    optimiser, schedule = _optimiser(model, settings)
    batches = training_batches([len(one) for one in train.inputs], settings.batch_clips, settings.seed)
    checks: list[Check] = []
    best: Check | None = None
    state: dict[str, Tensor] = {}
    seconds = 0.0
    with _seeded(settings.seed, device):
        for step in range(1, settings.updates + 1):
            began = time.perf_counter()
            _freeze(model, settings, step)
            positions = next(batches)
            _update(model, optimiser, train.batch(positions, device), [targets[i] for i in positions], step)
            schedule.step()
            seconds += time.perf_counter() - began
            if step % settings.dev_every == 0 or step == settings.updates:
                errors, total = score(model, dev, device)
                checks.append(Check(step=step, seconds=round(seconds, 3), errors=errors, total=total))
                if best is None or checks[-1].errors <= best.errors:
                    best = checks[-1]
                    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    if best is None:
        raise ValueError("no updates")
    return Fit(checks=tuple(checks), best=best, state=state)


def predictions(model: TaskModel[Any], examples: Examples, device: torch.device) -> list[Any]:
    """Return one prediction per clip, in order."""
    model.to(device).eval()
    found: list[Any] = [None] * len(examples)
    most = DEV_FRAMES * (1 if model.encoder is None else model.encoder.stride)
    for positions in length_batches([len(one) for one in examples.inputs], most):
        for position, prediction in zip(positions, model.predict(examples.batch(positions, device)), strict=True):
            found[int(position)] = prediction
    return found


def score(model: TaskModel[Any], examples: Examples, device: torch.device) -> tuple[int, int]:
    """Errors and total over all clips."""
    pairs = [
        model.errors(reference, prediction)
        for reference, prediction in zip(examples.references, predictions(model, examples, device), strict=True)
    ]
    return sum(errors for errors, _ in pairs), sum(total for _, total in pairs)


def _update(
    model: TaskModel[Any],
    optimiser: torch.optim.Optimizer,
    inputs: Padded,
    targets: list[list[int]],
    step: int,
) -> None:
    model.train()
    optimiser.zero_grad(set_to_none=True)
    loss, count = model.loss(inputs, targets)
    mean = loss / max(count, 1)
    if not torch.isfinite(mean):
        raise TrainingError(
            f"fine-tuning diverged: the loss at update {step} is {mean.item()}; "
            "lower finetune.learning_rates, the grid goes on from this cell"
        )
    torch.autograd.backward(mean)
    nn.utils.clip_grad_norm_([one for one in model.parameters() if one.grad is not None], CLIP_NORM)
    optimiser.step()


def _optimiser(
    model: TaskModel[Any], settings: FitSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    groups = [{"params": list(model.head.parameters()), "lr": settings.learning_rate}]
    if model.encoder is not None:
        rate = settings.learning_rate * settings.encoder_lr_factor
        groups.append({"params": list(model.encoder.parameters()), "lr": rate})
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=settings.weight_decay, fused=True)
    warmup = max(1, round(settings.updates * settings.warmup_share))
    rest = max(1, settings.updates - warmup)

    def factor(done: int) -> float:
        return min(1.0, (done + 1) / warmup) * min(1.0, max(0.0, (settings.updates - done) / rest))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _freeze(model: TaskModel[Any], settings: FitSettings, step: int) -> None:
    """Decide at the first update, and when the frozen updates are over, what of the encoder is trained."""
    if model.encoder is None or step not in (1, settings.frozen_updates + 1):
        return
    trained = step > settings.frozen_updates
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(trained)
    for parameter in model.encoder.lowest(settings.frozen_blocks):
        parameter.requires_grad_(False)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generator, which dropout draws from, seeded inside and put back after."""
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
