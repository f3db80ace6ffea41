"""One pretraining: build, resume or extend, train to the budget, leave a receipt."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback, LightningModule, Trainer

from allears.checkpoints.steps import CHECKPOINTS, step_file, steps
from allears.checkpoints.training_state import load_latest, load_state
from allears.errors import ConfigError, StaleError, TrainingError
from allears.models.audio_encoder import AudioEncoder
from allears.objectives.base import Objective
from allears.objectives.build import build_objective
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import PretrainSpec
from allears.process.events import EventLog, SilentLog, read_events
from allears.process.say import say
from allears.process.spec_file import forget_errors
from allears.shards.batches import Cursor, plan_digest
from allears.shards.handle import ShardSet
from allears.shards.remote import remote_of
from allears.storage.receipt import read_receipt, write_receipt
from allears.training.callbacks import Watch
from allears.training.datamodule import PretrainData, Updates
from allears.training.frame_labels import FrameLabels
from allears.training.guards import Health
from allears.training.module import PretrainModule
from allears.training.plan import TrainingData, training_data
from allears.training.progress import on_terminal, progress
from allears.training.ranks import Ranks, from_environment, together


def run(spec: PretrainSpec) -> None:
    """Train until `spec.last_update`, from the last checkpoint if there is one; a run with a receipt is done.

    Equal specs give equal weights, bit for bit, on a CPU with the same number of threads, however often the process
    was killed in between.
    """
    if read_receipt(spec.folder, spec.identity) is not None:
        return
    _quiet()
    ranks = from_environment()
    hardware = _hardware(spec.pretrain, ranks)
    if ranks.first:
        forget_errors(spec.folder)  # of a try that torchrun started; the others wait for this one in `together`
    with together(ranks, hardware["accelerator"]):
        _run(spec, ranks, hardware)


def _run(spec: PretrainSpec, ranks: Ranks, hardware: dict[str, str]) -> None:
    params = spec.pretrain
    shards = ShardSet.from_json(spec.shard_set)
    found = training_data(shards, spec.clips, params, spec.others)
    module = PretrainModule(new_objective(params), spec, ranks)
    state = _last_state(spec, hardware["precision"])
    begin = Cursor()
    if state is not None:
        module.objective.load_state_dict(state["objective"])
        module.done, module.samples_heard = int(state["done"]), int(state["samples_heard"])
        module.clips_skipped = int(state.get("clips_skipped", 0))  # an earlier allears skipped none
        begin = _cursor(spec, found, state)
    _check_plan(spec, found)
    indexes = [one.index for one in found.corpora]
    labels = FrameLabels(spec.targets, indexes) if "units" in module.objective.inputs else None
    remotes = [remote_of(params.shards_from, one.shard_set, one.index, params.cache_gb) for one in found.corpora]
    updates = Updates(
        found, labels, begin, spec.last_update, ranks, params.reader_threads, [one for one in remotes if one],
        skip_damaged=params.on_damage == "skip",
    )  # fmt: skip
    data = PretrainData(updates, params.validate_batches)
    health = Health(collapsed_since=state["collapsed_since"] if state else None)
    events = EventLog(spec.folder) if ranks.first else SilentLog(spec.folder)
    watch = Watch(module, data, events, health, hardware["precision"])
    if module.done < spec.last_update:
        _train(module, data, watch, state["optimiser"] if state else None, hardware)
    if ranks.first:
        _finish(watch, hardware)


def new_objective(params: PretrainParams) -> Objective:
    """The objective with new weights: the first encoder that `pretrain.seed` draws."""
    return build_objective(params.chosen, AudioEncoder(params.model, seed=params.seed), seed=params.seed)


def _check_plan(spec: PretrainSpec, found: TrainingData) -> None:
    """What was handed over may be trained much later, and the batches be others by then: StaleError."""
    if spec.plan is not None and (now := plan_digest(found.plan)) != spec.plan:
        raise StaleError(
            f"run {spec.folder.name} was planned on other batches than those found now (plan {spec.plan[:12]}, now "
            f"{now[:12]}): a corpus that it hears was audited or sharded since, or this is another allears. Type the "
            "`kedro run --pipeline pretrain` again that planned it; it begins a run on the clips that are selected now"
        )


def _last_state(spec: PretrainSpec, precision: str) -> dict[str, Any] | None:
    """The run's own last checkpoint, else that of the run it extends, else None."""
    found = load_latest(spec.folder / CHECKPOINTS)
    if found is not None:
        if (begun := found[1]["precision"]) != precision:
            raise TrainingError(
                f"run {spec.folder.name} was begun in precision {begun}, and would go on in {precision} here: its "
                f"weights would be of neither. Finish it where it was begun, or start another with "
                f"pretrain.precision={precision}"
            )
        return found[1]
    return None if spec.extends is None else load_state(spec.extends.checkpoint)


def _cursor(spec: PretrainSpec, found: TrainingData, state: dict[str, Any]) -> Cursor:
    """Where in the batches to go on: where the checkpoint stands. In other batches than those that it counts, only at
    an epoch that a person names, and in a run of its own; else StaleError.
    """
    begins = spec.extends is not None and int(state["done"]) == spec.first_update
    if begins and spec.pretrain.from_epoch is not None:
        return Cursor(step=int(state["done"]), epoch=spec.pretrain.from_epoch)
    try:
        return Cursor.resume(state["data"], found.plan, found.facts)
    except StaleError as error:
        run = spec.extends.run if begins and spec.extends else spec.folder.name
        raise StaleError(
            f"run {run}: {error}. Set that back and run the same command again; or go on deliberately, in a run of its "
            f"own, with these weights and an epoch of the new batches: kedro run --pipeline pretrain --params "
            f"corpus=NAME,pretrain.extend={run},pretrain.from_epoch={int(state['data']['epoch']) + 1}"
        ) from error


def _hardware(params: PretrainParams, ranks: Ranks) -> dict[str, str]:
    """`accelerator` (gpu, cpu) and `precision` (32, bf16-mixed) on this machine. ConfigError when it has no such."""
    accelerator = "gpu" if params.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    if params.accelerator == "gpu" and accelerator == "cpu":
        raise ConfigError(
            "pretrain.accelerator is gpu, but torch sees none here; use auto or cpu, or look at the driver"
        )
    if accelerator == "gpu" and ranks.local >= (there := torch.cuda.device_count()):
        raise ConfigError(
            f"process {ranks.local + 1} of this machine finds {there} GPUs: lower pretrain.processes (or torchrun's "
            "--nproc-per-node), one process a GPU"
        )
    precision = params.precision if params.precision != "auto" else "32" if accelerator == "cpu" else "bf16-mixed"
    return {"accelerator": accelerator, "precision": precision}


def _train(
    module: PretrainModule,
    data: PretrainData,
    watch: Watch,
    optimiser: dict[str, Any] | None,
    hardware: dict[str, str],
) -> None:
    spec, params = module.spec, module.spec.pretrain
    if params.compile:
        module.objective.encoder.encoder.compile(dynamic=True)
    ranks = module.ranks
    if ranks.first:
        _announce(module, watch, f"{hardware['accelerator']}, precision {hardware['precision']}")
    trainer = Trainer(
        accelerator=hardware["accelerator"],
        devices=[ranks.local] if hardware["accelerator"] == "gpu" else 1,
        plugins=[LightningEnvironment()],  # to Lightning each rank is a training of its own: see ranks.py
        precision="32-true" if hardware["precision"] == "32" else "bf16-mixed",
        max_epochs=1,  # of Lightning's: ours go by inside it
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=ranks.first and on_terminal(),
        default_root_dir=spec.folder,
        callbacks=[RestoreOptimiser(optimiser), watch, *([progress(watch)] if ranks.first else [])],
    )
    trainer.fit(module, datamodule=data)
    if module.done < spec.last_update:  # Lightning turns SIGTERM and Ctrl-C into a normal return
        saved = (steps(spec.folder / CHECKPOINTS) or [spec.first_update])[-1]
        raise TrainingError(
            f"pretraining was interrupted at update {module.done} of {spec.last_update}; run the same command again: "
            f"it goes on from update {saved}"
        )


def _announce(module: PretrainModule, watch: Watch, where: str) -> None:
    spec = module.spec
    encoder = sum(one.numel() for one in module.objective.encoder.parameters())
    start = module.done - spec.first_update
    say(
        f"pretraining {spec.pretrain.objective}: encoder of {encoder / 1e6:.2f} M parameters, "
        f"{spec.pretrain.updates:,} updates on {where}"
        + (f", {module.ranks.world} processes" if module.ranks.world > 1 else "")
        + (f", from update {start:,}" if start else "")
        + (f", extends {spec.extends.run} ({spec.first_update:,} updates)" if spec.extends else "")
    )  # fmt: skip
    watch.events.start(module.done, watch.hours_heard, {"identity": spec.identity, "encoder_parameters": encoder})
    if not start:
        watch.events.params(spec.pretrain.model_dump(mode="json", exclude={"probe"}))


def _finish(watch: Watch, hardware: dict[str, str]) -> None:
    """The receipt: what the catalog keeps of the run. Numbers of the last rows come from the log, whoever wrote it."""
    module, spec = watch.module, watch.module.spec
    latest: dict[str, float] = {}
    for event in read_events(spec.folder):
        latest |= event["values"] if event["kind"] == "metrics" else {}
    watch.events.end(module.done, watch.hours_heard, {})
    notes = {
        "parameters": sum(one.numel() for one in module.objective.encoder.parameters()),
        "updates": module.done,
        "hours_heard": watch.hours_heard,
        "clips_skipped": module.clips_skipped,
        "checkpoint": str(step_file(spec.folder / CHECKPOINTS, module.done)),
        "metrics": latest,
        **hardware,
    }
    write_receipt(spec.folder, spec.identity, notes)


class RestoreOptimiser(Callback):
    """Gives the optimiser back what it knew (moments and counts)."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first update (called by Lightning)."""
        del pl_module
        if self.state is not None:
            trainer.optimizers[0].load_state_dict(self.state)


def _quiet() -> None:
    """Lightning's hints concern its own loaders and loggers."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
