"""Train one task model with a budget of updates, and keep the state that was best on dev speakers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from allears.downstream.examples import Examples, forward_size, length_batches, training_batches
from allears.downstream.task import TaskModel
from allears.errors import TrainingError
from allears.process.hardware import Hardware
from allears.types import Padded

DEV_FRAMES = 4000  # frames of one batch without gradients on a CPU, padding included
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


def fit(model: TaskModel[Any], train: Examples, dev: Examples, settings: FitSettings, hardware: Hardware) -> Fit:
    """Train `model` in place. Equal settings and data give equal results on a CPU with one thread.

    Of equally good checks the last is kept. Raises TrainingError when the loss is not finite; this too is looked at
    only when dev speakers are, so that no update waits for a GPU.
    """
    device = hardware.device
    model.to(device)
    targets = [model.encode_target(reference) for reference in train.references]
    optimiser, schedule = _optimiser(model, settings)
    batches = training_batches([len(one) for one in train.inputs], settings.batch_clips, settings.seed)
    checks: list[Check] = []
    best: Check | None = None
    state: dict[str, Tensor] = {}
    losses: list[Tensor] = []
    seconds = 0.0
    with _seeded(settings.seed, device):
        for step in range(1, settings.updates + 1):
            began = time.perf_counter()
            _freeze(model, settings, step)
            positions = next(batches)
            batch, spelled = train.batch(positions, device), [targets[i] for i in positions]
            losses.append(_update(model, optimiser, batch, spelled, hardware))
            schedule.step()
            checked = step % settings.dev_every == 0 or step == settings.updates
            if checked:
                _check_finite(losses, step)
                losses = []
            seconds += time.perf_counter() - began
            if checked:
                errors, total = score(model, dev, hardware)
                checks.append(Check(step=step, seconds=round(seconds, 3), errors=errors, total=total))
                if best is None or checks[-1].errors <= best.errors:
                    best = checks[-1]
                    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    if best is None:
        raise ValueError("no updates")
    return Fit(checks=tuple(checks), best=best, state=state)


def predictions(model: TaskModel[Any], examples: Examples, hardware: Hardware) -> list[Any]:
    """Return one prediction per clip, in order."""
    device = hardware.device
    model.to(device).eval()
    found: list[Any] = [None] * len(examples)
    most = forward_size(DEV_FRAMES, device) * (1 if model.encoder is None else model.encoder.stride)
    for positions in length_batches([len(clip_FC) for clip_FC in examples.inputs], most):
        with hardware.autocast():
            predicted = model.predict(examples.batch(positions, device))
        for position, prediction in zip(positions, predicted, strict=True):
            found[int(position)] = prediction
    return found


def score(model: TaskModel[Any], examples: Examples, hardware: Hardware) -> tuple[int, int]:
    """Errors and total over all clips."""
    pairs = [
        model.errors(reference, prediction)
        for reference, prediction in zip(examples.references, predictions(model, examples, hardware), strict=True)
    ]
    return sum(errors for errors, _ in pairs), sum(total for _, total in pairs)


def _update(
    model: TaskModel[Any],
    optimiser: torch.optim.Optimizer,
    inputs: Padded,
    targets: list[list[int]],
    hardware: Hardware,
) -> Tensor:
    """Do one update; returns the mean loss, which is not waited for."""
    model.train()
    optimiser.zero_grad(set_to_none=True)
    with hardware.autocast():
        loss, count = model.loss(inputs, targets)
    mean = loss / max(count, 1)
    torch.autograd.backward(mean)
    nn.utils.clip_grad_norm_([one for one in model.parameters() if one.grad is not None], CLIP_NORM)
    optimiser.step()
    return mean.detach()


def _check_finite(losses: list[Tensor], step: int) -> None:
    """Raise TrainingError for the first loss, of the updates up to `step`, that is not finite."""
    values = torch.stack(losses).tolist()
    for update, loss in enumerate(values, start=step - len(values) + 1):
        if not math.isfinite(loss):
            raise TrainingError(
                f"fine-tuning diverged: the loss at update {update} is {loss}; "
                "lower finetune.learning_rates, the grid goes on from this cell"
            )


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
