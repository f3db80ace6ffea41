"""Checkpoints through Lightning: our files, and when they are written.

Lightning's ModelCheckpoint is written for automatic optimisation (with manual optimisation it warns, and looks for
states of its own); so this is a Checkpoint callback over Lightning's `save_checkpoint` and a CheckpointIO of ours.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from allears.checkpoints.steps import CHECKPOINTS, step_file
from allears.checkpoints.training_state import load_state, save_state
from allears.training.callbacks import Watch


class StepFiles(CheckpointIO):
    """One file per step, complete or absent, the last two kept; tensors and plain values only (`weights_only`)."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint (called by Lightning on the first rank)."""
        del storage_options
        save_state(Path(path).parent, int(checkpoint["global_step"]), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint to the CPU (called by Lightning)."""
        del map_location, weights_only
        return load_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint (called by Lightning)."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Saves every `pretrain.checkpoint_every` updates and at the end of the budget.

    While predictions are collapsed nothing replaces the last two whole checkpoints, except at the end. What `watch`
    checks (finite losses and gradients) comes first, so no checkpoint holds broken weights.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is due (called by Lightning, after other callbacks)."""
        del pl_module, outputs, batch, batch_idx
        watch, done = self.watch, trainer.global_step
        params, last = watch.spec.pretrain, watch.spec.last_update
        if done % params.checkpoint_every == 0 and watch.health.collapsed_since is None and done < last:
            watch.check()
            began = time.perf_counter()
            trainer.save_checkpoint(step_file(watch.spec.folder / CHECKPOINTS, done))
            watch.paused_s += time.perf_counter() - began

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last update, once the loss on dev speakers is in the log (called by Lightning)."""
        del pl_module
        if trainer.global_step == self.watch.spec.last_update:
            trainer.save_checkpoint(step_file(self.watch.spec.folder / CHECKPOINTS, trainer.global_step))
