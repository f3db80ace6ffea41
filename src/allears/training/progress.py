"""How far a training is: Lightning's bar on a terminal, a line every ten seconds elsewhere (a log, a pipe)."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

from allears.process.say import say
from allears.training.callbacks import Watch

EVERY_S = 10.0


def progress(watch: Watch) -> Callback:
    """The one that suits where output goes."""
    return Bar(watch) if on_terminal() else Lines(watch)


def on_terminal() -> bool:
    """Whether somebody looks at a terminal."""
    return sys.stdout.isatty()


class Bar(TQDMProgressBar):
    """Counts all updates of the run, those before a restart too."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(refresh_rate=10)
        self.watch = watch

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Begin where the run stood (called by Lightning)."""
        super().on_train_epoch_start(trainer, *args)
        bar, spec = self.train_progress_bar, self.watch.spec
        bar.set_description("pretraining")
        bar.total = spec.pretrain.updates
        bar.initial = bar.n = trainer.global_step - spec.first_update
        bar.refresh()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One update further (called by Lightning)."""
        del pl_module, outputs, batch
        bar, spec = self.train_progress_bar, self.watch.spec
        if (batch_idx + 1) % self.refresh_rate == 0 or trainer.global_step == spec.last_update:
            bar.n = trainer.global_step - spec.first_update
            bar.set_postfix_str(facts(self.watch).removeprefix(", "))


class Lines(Callback):
    """A line every ten seconds, with about how long it still takes."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.first = 0
        self.began = self.last = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (called by Lightning)."""
        del pl_module
        self.first = trainer.global_step
        self.began = self.last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say something when it is time (called by Lightning)."""
        del pl_module, outputs, batch, batch_idx
        spec, now = self.watch.spec, time.monotonic()
        done, last, before = trainer.global_step, spec.last_update, spec.first_update
        if now - self.last < EVERY_S and done < last:
            return
        self.last = now
        left_s = (now - self.began) / max(1, done - self.first) * (last - done)
        say(
            f"pretraining: {done - before:,} of {last - before:,} updates, {self.watch.data.hours:.2f} h of audio"
            + facts(self.watch)
            + (f", {left_s // 60:.0f} min {left_s % 60:02.0f} s left" if done < last else "")
        )


def facts(watch: Watch) -> str:
    """Loss, accuracy and speed in a few words, once there are any."""
    values = watch.latest
    if not values:
        return ""
    shown = {"loss": "loss {:.2f}"}
    shown |= {name: f"{name.replace('_', ' ')} {{:.3f}}" for name in values if name.endswith("_accuracy")}
    if values["times_real_time"]:  # not where the batches are of text
        shown["times_real_time"] = "{:.0f} × real time"
    return "".join(f", {words.format(values[name])}" for name, words in shown.items() if name in values)
