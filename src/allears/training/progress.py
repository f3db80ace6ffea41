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
        bar, spec = self.train_progress_bar, self.watch.module.spec
        bar.set_description("pretraining")
        bar.total = spec.pretrain.updates
        bar.initial = bar.n = self.watch.module.done - spec.first_update
        bar.refresh()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One update further (called by Lightning)."""
        del pl_module, outputs, batch
        module, bar = self.watch.module, self.train_progress_bar
        if (batch_idx + 1) % self.refresh_rate == 0 or batch_idx + 1 == trainer.num_training_batches:
            bar.n = module.done - module.spec.first_update
            bar.set_postfix_str(facts(self.watch).removeprefix(", "))


class Lines(Callback):
    """A line every ten seconds, with about how long it still takes."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.first = watch.module.done
        self.began = self.last = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (called by Lightning)."""
        del trainer, pl_module
        self.began = self.last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say something when it is time (called by Lightning)."""
        del trainer, pl_module, outputs, batch, batch_idx
        module, now = self.watch.module, time.monotonic()
        done, last, before = module.done, module.spec.last_update, module.spec.first_update
        if now - self.last < EVERY_S and done < last:
            return
        self.last = now
        left_s = (now - self.began) / max(1, done - self.first) * (last - done)
        say(
            f"pretraining: {done - before:,} of {last - before:,} updates, {self.watch.hours_heard:.2f} h heard"
            + facts(self.watch)
            + (f", {left_s // 60:.0f} min {left_s % 60:02.0f} s left" if done < last else "")
        )


def facts(watch: Watch) -> str:
    """Loss, accuracy and speed in a few words, once there are any."""
    values = watch.latest
    if not values:
        return ""
    return (
        f", loss {values['loss']:.2f}, masked accuracy {values['masked_accuracy']:.3f}, "
        f"{values['times_real_time']:.0f} × real time"
    )
