"""What happens around the updates: metrics and guards, validation on dev speakers, checkpoints."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from allears.audio.frames import to_hours, to_seconds
from allears.checkpoints.steps import CHECKPOINTS
from allears.checkpoints.training_state import save_state
from allears.errors import TrainingError
from allears.objectives.base import Objective
from allears.process.events import EventLog
from allears.process.say import say
from allears.training.datamodule import PretrainData, to_device
from allears.training.guards import Health, check_collapse
from allears.training.meters import Meters
from allears.training.module import PretrainModule, add_up
from allears.types import ObjectiveOutput


class Watch(Callback):
    """After each update, in this order: a row of metrics and the guards, the validation loss, a checkpoint.

    One callback, so that the order is written down: while predictions are collapsed nothing is saved over the last two
    whole checkpoints, except at the end of the budget.
    """

    def __init__(
        self, module: PretrainModule, data: PretrainData, events: EventLog, health: Health, precision: str
    ) -> None:
        self.module = module
        self.data = data
        self.events = events
        self.health = health
        self.precision = precision
        self.latest: dict[str, float] = {}
        self.ranks = module.ranks
        self.meters = self._new_meters()
        self.paused_s = 0.0
        self.skipped: list[str] = []  # by this rank, since the last row
        self.skipped_before = module.clips_skipped

    @property
    def hours_heard(self) -> float:
        """Hours of audio since the weights were new, without padding."""
        return to_hours(to_seconds(self.module.samples_heard, self.data.data.main.shard_set.sample_rate_hz))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (called by Lightning)."""
        del trainer, pl_module
        self.meters = self._new_meters()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the update that was just done (called by Lightning)."""
        del pl_module, outputs, batch, batch_idx
        params, done, last = self.module.spec.pretrain, self.module.done, self.module.spec.last_update
        self.meters.add(self.module.facts)
        self.skipped += self.module.facts.skipped
        if done % params.log_every == 0 or done == last:
            self._report()
        began = time.perf_counter()
        due = done % params.checkpoint_every == 0 and self.health.collapsed_since is None
        if self.ranks.first and params.validate_batches and (done % params.validate_every == 0 or done == last):
            self._validate()  # the others wait for its gradients
        if self.ranks.first and (due or done == last):
            state = training_state(self.module, trainer.optimizers[0], self.data, self.health)
            save_state(self.module.spec.folder / CHECKPOINTS, done, state | {"precision": self.precision})
        self.paused_s += time.perf_counter() - began

    def _new_meters(self) -> Meters:
        codebooks = getattr(self.module.spec.pretrain.chosen, "codebooks", 1)
        return Meters(codebooks=codebooks, rate_hz=self.data.data.main.shard_set.sample_rate_hz, ranks=self.ranks)

    def _report(self) -> None:
        params, done = self.module.spec.pretrain, self.module.done
        values = self.meters.read(self.data.updates.waited_s, self.paused_s) | self._of_copy()
        values["clips_skipped"] = self.module.clips_skipped
        self.latest = values
        self.paused_s = 0.0
        self._note_skipped()
        self.events.metrics(done, self.hours_heard, values)
        warm = self.module.spec.first_update + 2 * params.optimiser.warmup_updates + params.guards.patience_updates // 2
        self.health, sentence, stop = check_collapse(
            self.health, done, values["codes_perplexity"], values["predictions_perplexity"], params.guards, warm
        )
        if sentence:
            self.events.note(done, self.hours_heard, {"guard": sentence})
            if stop:
                raise TrainingError(sentence)
            if self.ranks.first:
                say(f"warning: {sentence}")

    def _of_copy(self) -> dict[str, float]:
        """What this process has asked of the copies that it reads from, since it began."""
        if not self.data.updates.remotes:
            return {}
        return {f"copy_{name}": float(value) for name, value in asdict(self.data.updates.traffic).items()}

    def _note_skipped(self) -> None:
        """Name the clips that all ranks have skipped since the last row."""
        if self.module.clips_skipped == self.skipped_before:
            return
        for sentence in sorted({one for some in self.ranks.gather(self.skipped) for one in some}):
            self.events.note(self.module.done, self.hours_heard, {"skipped": sentence})
            if self.ranks.first:
                say(f"warning: skipped: {sentence}")
        self.skipped, self.skipped_before = [], self.module.clips_skipped

    def _validate(self) -> None:
        found = validate(self.module.objective, self.data, self.module.device, self.module.spec.pretrain.seed)
        if found:
            values = {f"dev_{name}": value for name, value in found.items()}
            values["dev_clips_skipped"] = len(self.data.dev_skipped)
            self.events.metrics(self.module.done, self.hours_heard, values)


def validate(objective: Objective, data: PretrainData, device: torch.device, seed: int) -> dict[str, float]:
    """Mean metrics over the same masks and crops of dev speakers every time; empty without dev speakers."""
    objective.eval()
    outputs: list[ObjectiveOutput] = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        outputs.extend(objective(to_device(batch, device)) for batch in data.dev())
    objective.train()
    metrics, _ = add_up(outputs)
    return {name: float(total) / max(1.0, float(count)) for name, (total, count) in metrics.items()}


def training_state(
    module: PretrainModule, optimiser: torch.optim.Optimizer, data: PretrainData, health: Health
) -> dict[str, Any]:
    """All that a later process needs to go on as if nothing had happened."""
    return {
        "objective": module.objective.state_dict(),
        "optimiser": optimiser.state_dict(),
        "done": module.done,
        "samples_heard": module.samples_heard,
        "clips_skipped": module.clips_skipped,
        "data": data.updates.cursor.state(data.data.plan, data.data.facts),
        "collapsed_since": health.collapsed_since,
    }
