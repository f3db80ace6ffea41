"""Callbacks around the updates: rows of metrics, guards, the loss on dev speakers."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from allears.errors import DamageError, TrainingError
from allears.process.say import say
from allears.training.datamodule import PretrainData
from allears.training.events_logger import EventLogger
from allears.training.flops import peak_flops, training_flops
from allears.training.guards import Health, check_collapse
from allears.training.meters import Meters
from allears.training.module import PretrainModule, UpdateFacts, add_sums, add_up


class Watch(Callback):
    """After each update: a row of metrics and the guards when they are due. `health` is its state in a checkpoint.

    Nothing is read from the device between two rows: what the updates found is kept there until `check` looks at it,
    which also comes before each checkpoint.
    """

    def __init__(self, module: PretrainModule, data: PretrainData, logger: EventLogger) -> None:
        self.module = module
        self.spec = module.spec
        self.data = data
        self.logger = logger
        self.ranks = module.ranks
        self.health = Health()
        self.latest: dict[str, float] = {}
        self.meters = self._new_meters()
        self.paused_s = 0.0
        self.unchecked: list[UpdateFacts] = []
        self.skipped: list[str] = []  # by this rank, since the last row
        self.skipped_before = 0
        self.flops: float | None = None  # of training on a second of audio

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps (called by Lightning)."""
        return {"collapsed_since": self.health.collapsed_since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint (called by Lightning)."""
        self.health = Health(collapsed_since=state_dict["collapsed_since"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (called by Lightning)."""
        del trainer, pl_module
        self.skipped_before = self.data.clips_skipped
        self.meters = self._new_meters()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the operations of the first batch (called by Lightning)."""
        del pl_module, batch_idx
        if self.flops is None and batch.micros:
            with trainer.precision_plugin.train_step_context():
                self.flops = training_flops(self.module.objective, batch.micros[0], self.data.make.data)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the update that was just done (called by Lightning)."""
        del pl_module, outputs, batch_idx
        done = trainer.global_step
        self.meters.add(self.module.facts)
        self.unchecked.append(self.module.facts)
        self.skipped += batch.skipped
        self.data.cursor = batch.after
        if done % self.spec.pretrain.log_every == 0 or done == self.spec.last_update:
            self.check()
            self._report(done)
        if done == self.spec.last_update:
            trainer.should_stop = True  # so that Lightning validates at the end, whenever it did last

    def check(self) -> None:
        """Look at what the updates since the last check found. TrainingError for a loss or gradient that is not finite,
        DamageError when an update had no clip left.
        """
        facts, self.unchecked = self.unchecked, []
        if not facts:
            return
        lost = torch.stack([each.lost for each in facts]).tolist()
        norms = torch.stack([each.gradient_norm for each in facts]).tolist()
        losses = torch.stack([loss for each in facts for loss in each.losses] or [torch.zeros(())]).isfinite().tolist()
        for each, norm, (clips_lost, length_lost) in zip(facts, norms, lost, strict=True):
            for keys in each.keys:
                if not losses.pop(0):
                    shown = ", ".join([key for key in keys if key][:3]) + (" …" if len(keys) > 3 else "")
                    self._diverged(f"the loss on clips {shown}", each.number)
            if int(clips_lost) == each.clips:
                raise DamageError(self._nothing_left(each))
            if not -float("inf") < norm < float("inf"):
                self._diverged("the gradient", each.number)
            self.data.length += each.length - int(length_lost)
            self.data.clips_skipped += int(clips_lost)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock (called by Lightning)."""
        del trainer, pl_module
        self.module.dev_outputs = []
        self.paused_s -= time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the mean metrics over dev speakers, of all ranks (called by Lightning)."""
        del pl_module
        metrics, _ = add_up(self.module.dev_outputs)
        own = {name: (float(total), float(count)) for name, (total, count) in metrics.items()}
        sums: dict[str, tuple[float, float]] = {}
        skipped = 0
        for some, here in self.ranks.gather((own, self.data.dev_skipped)):
            skipped = here  # every rank reads all of them
            add_sums(sums, some)
        if sums:
            values = {f"dev_{name}": total / max(1.0, count) for name, (total, count) in sums.items()}
            self.logger.log_metrics(values | {"dev_clips_skipped": skipped}, trainer.global_step)
        self.paused_s += time.perf_counter()

    def _new_meters(self) -> Meters:
        return Meters(ranks=self.ranks, hours=self.data.hours)

    def _report(self, done: int) -> None:
        updates = self.data.updates
        values = self.meters.read(self.data.hours, updates.waited_s if updates else 0.0, self.paused_s)
        values |= self._of_copy() | {"clips_skipped": self.data.clips_skipped}
        if self.flops:
            values |= {"flop_per_audio_s": self.flops}
            if peak := peak_flops(self.module.device):
                values["device_peak_share"] = self.flops * values["times_real_time"] / (peak * self.ranks.world)
        self.latest = values
        self.paused_s = 0.0
        self._note_skipped(done)
        self.logger.log_metrics(values, done)
        self._guard(done, values)

    def _guard(self, done: int, values: dict[str, float]) -> None:
        """Stop a run that cannot learn any more; an objective without codes has no such guard."""
        if "codes_perplexity" not in values:
            return
        params = self.spec.pretrain
        warm = self.spec.first_update + 2 * params.optimiser.warmup_updates + params.guards.patience_updates // 2
        self.health, sentence, stop = check_collapse(
            self.health,
            done,
            values["codes_perplexity"],
            values.get("predictions_perplexity", math.inf),
            params.guards,
            warm,
        )
        if sentence:
            self.logger.note(done, {"guard": sentence})
            if stop:
                raise TrainingError(sentence)
            if self.ranks.first:
                say(f"warning: {sentence}")

    def _of_copy(self) -> dict[str, float]:
        """What this process has asked of the copies that it reads from, since it began."""
        updates = self.data.updates
        if updates is None or not updates.remotes:
            return {}
        return {f"copy_{name}": float(value) for name, value in asdict(updates.traffic).items()}

    def _note_skipped(self, done: int) -> None:
        """Name the clips that all ranks have skipped since the last row."""
        if self.data.clips_skipped == self.skipped_before:
            return
        for sentence in sorted({one for some in self.ranks.gather(self.skipped) for one in some}):
            self.logger.note(done, {"skipped": sentence})
            if self.ranks.first:
                say(f"warning: skipped: {sentence}")
        self.skipped, self.skipped_before = [], self.data.clips_skipped

    def _nothing_left(self, facts: UpdateFacts) -> str:
        first = f" The first: {facts.skipped[0]}" if facts.skipped else ""
        return (
            f"all {facts.clips} clips of update {facts.number} are damaged or gone, and pretrain.on_damage=skip only "
            f"goes on while there is something to train on.{first}"
        )

    def _diverged(self, what: str, update: int) -> NoReturn:
        raise TrainingError(
            f"pretraining diverged: {what} is not finite at update {update} of {self.spec.last_update}; "
            "lower pretrain.optimiser.learning_rate, or raise warmup_updates. The weights of the last checkpoint are "
            f"whole: {self.spec.folder / 'checkpoints'}"
        )
