"""One pretraining: build, resume or extend, train to the budget, leave a receipt."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import cast

from pytorch_lightning import Trainer

from allears.checkpoints.bases import check_unchanged, disclosed
from allears.checkpoints.export import load_export
from allears.checkpoints.steps import CHECKPOINTS, step_file, steps
from allears.checkpoints.training_state import data_of, load_state, weights_of
from allears.errors import ConfigError, StaleError, TrainingError
from allears.models.base import Encoder
from allears.objectives.base import Objective
from allears.objectives.build import build_objective
from allears.params.base import Base
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import PretrainSpec
from allears.process.events import EventLog, SilentLog, read_events
from allears.process.hardware import Hardware, choose_hardware, count_gpus
from allears.process.say import say
from allears.process.spec_file import forget_errors
from allears.shards.batches import plan_digest
from allears.shards.handle import ShardSet
from allears.shards.remote import remote_of
from allears.storage.receipt import read_receipt, write_receipt
from allears.training.callbacks import Watch
from allears.training.datamodule import Maker, PretrainData
from allears.training.events_logger import EventLogger
from allears.training.frame_labels import FrameLabels
from allears.training.module import PretrainModule, compile_objective
from allears.training.plan import TrainingData, training_data
from allears.training.progress import on_terminal, progress
from allears.training.ranks import Ranks, from_environment, new_strategy, with_all_others
from allears.training.saving import Checkpoints, StepFiles


def run(spec: PretrainSpec) -> None:
    """Train until `spec.last_update`, from the last checkpoint if there is one; a run with a receipt is done.

    Equal specs give equal weights, bit for bit, on a CPU with the same number of threads, however often the process
    was killed in between.
    """
    if read_receipt(spec.folder, spec.identity) is not None:
        return
    _quiet()
    sys.setswitchinterval(5e-4)  # reader threads run Python too: the step must not wait 5 ms for them
    ranks = from_environment()
    _check_shares(spec.pretrain, ranks)
    hardware = choose_hardware(
        "pretrain", spec.pretrain.accelerator, spec.pretrain.precision, gpus=count_gpus(), local=ranks.local,
        processes=ranks.node,
    )  # fmt: skip
    hardware.set_up()
    strategy = new_strategy(spec.pretrain, ranks, hardware.device)
    if ranks.first:
        forget_errors(spec.folder)  # of an earlier try that torchrun started
    found = training_data(ShardSet.from_json(spec.shard_set), spec.clips, spec.pretrain, spec.others)
    _check_plan(spec, found)
    data = _data(spec, found, ranks, pinned=hardware.accelerator == "gpu")
    module = PretrainModule(data.make.objective, spec, ranks, hardware.precision)
    logger = EventLogger(EventLog(spec.folder) if ranks.first else SilentLog(spec.folder), lambda: data.hours)
    watch = Watch(module, data, logger)
    begin = _checkpoint(spec)
    state = None if begin is None else load_state(begin)
    done = 0 if state is None else int(state["global_step"])
    if state is not None and begin != (spec.extends and spec.extends.checkpoint):
        _check_precision(spec, str(state["precision"]), hardware.precision)
    if state is not None and done == spec.last_update:  # killed before its receipt was there
        data.load_state_dict(data_of(state))
    else:
        if ranks.first:
            _announce(watch, done, hardware)
        del state  # Lightning reads it again
        trainer = Trainer(
            accelerator=hardware.accelerator,
            devices=[ranks.local] if ranks.world == 1 and hardware.accelerator == "gpu" else ranks.node,
            num_nodes=ranks.world // ranks.node,
            strategy=strategy,
            plugins=[StepFiles()],
            precision="32-true" if hardware.precision == "32" else "bf16-mixed",
            max_epochs=-1,
            max_steps=spec.last_update,
            val_check_interval=spec.pretrain.validate_every,
            check_val_every_n_epoch=None,
            limit_val_batches=None if spec.pretrain.validate_batches else 0,
            num_sanity_val_steps=0,
            logger=logger,
            enable_model_summary=False,
            enable_progress_bar=ranks.first and on_terminal(),
            default_root_dir=spec.folder,
            use_distributed_sampler=False,
            callbacks=[watch, Checkpoints(watch), *([progress(watch)] if ranks.first else [])],
        )
        _fit(trainer, watch, begin)
    if ranks.first:
        _finish(watch, hardware)


def new_objective(params: PretrainParams, base: Base | None = None) -> Objective:
    """Return the objective with the first weights that `pretrain.seed` draws; its encoder with those of a base, if any,
    the lowest `pretrain.frozen_blocks` of them frozen.
    """
    objective = build_objective(params.chosen, params.chosen_encoder, seed=params.seed)
    if base is not None:
        encoder = objective.exports()["encoder"]
        encoder.load_state_dict(load_export(base.folder).state_dict())
        for each in cast("Encoder", encoder).lowest(params.frozen_blocks):
            each.requires_grad_(False)
    return objective


def trained_objective(params: PretrainParams, checkpoint: Path, base: Base | None = None) -> Objective:
    """Return the objective with the weights of a checkpoint; frozen ones, which it does not hold, as they are built."""
    objective = new_objective(params, base)
    frozen = {name: each for name, each in objective.named_parameters() if not each.requires_grad}
    objective.load_state_dict(frozen | weights_of(load_state(checkpoint)))
    return objective


def _data(spec: PretrainSpec, found: TrainingData, ranks: Ranks, *, pinned: bool) -> PretrainData:
    params = spec.pretrain
    labels = None
    if "units" in params.chosen.inputs:
        labels = FrameLabels(spec.targets, [one.index for one in found.corpora])
    make = Maker(
        data=found,
        labels=labels,
        objective=new_objective(params, spec.base),
        encoder=params.chosen_encoder,
        pinned=pinned,
        filled=ranks.world > 1,
    )
    remotes = [remote_of(params.shards_from, one.shard_set, one.index, params.cache_gb) for one in found.corpora]
    return PretrainData(make, spec, ranks, [each for each in remotes if each])


def _fit(trainer: Trainer, watch: Watch, begin: Path | None) -> None:
    spec = watch.spec
    if spec.pretrain.compile:
        compile_objective(watch.module.objective, len(watch.data.make.data.plan.buckets))
    # Lightning asks all ranks before each update whether one was told to end, and waits for the device to answer:
    # torchrun tells them all, and what a rank that has ended owes the others fails there.
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # noqa: SLF001
    with with_all_others(watch.ranks):
        trainer.fit(watch.module, datamodule=watch.data, ckpt_path=begin, weights_only=True)
    if trainer.global_step < spec.last_update:  # Lightning turns SIGTERM and Ctrl-C into a normal return
        saved = (steps(spec.folder / CHECKPOINTS) or [spec.first_update])[-1]
        raise TrainingError(
            f"pretraining was interrupted at update {trainer.global_step} of {spec.last_update}; run the same command "
            f"again: it goes on from update {saved}"
        )


def _check_plan(spec: PretrainSpec, found: TrainingData) -> None:
    """Raise StaleError when batches or base are not those that were planned: a run that was handed over may be trained
    much later.
    """
    if spec.base is not None:
        check_unchanged(spec.base)
    if spec.plan is not None and (now := plan_digest(found.plan)) != spec.plan:
        raise StaleError(
            f"run {spec.folder.name} was planned on other batches than those found now (plan {spec.plan[:12]}, now "
            f"{now[:12]}): a corpus of it was audited or sharded since, or this is another allears. Type the "
            "`kedro run --pipeline pretrain` again that planned it; it begins a run on the clips that are selected now"
        )


def _checkpoint(spec: PretrainSpec) -> Path | None:
    """Return the run's own last checkpoint, else that of the run it extends, else None."""
    if found := steps(spec.folder / CHECKPOINTS):
        return step_file(spec.folder / CHECKPOINTS, found[-1])
    return spec.extends.checkpoint if spec.extends else None


def _check_precision(spec: PretrainSpec, begun: str, precision: str) -> None:
    """Raise TrainingError when a run would go on in another precision than it was begun in."""
    if begun != precision:
        raise TrainingError(
            f"run {spec.folder.name} was begun in precision {begun}, and would go on in {precision} here: resuming in "
            f"another precision would mix two runs. Finish it where it was begun, or start another with "
            f"pretrain.precision={precision}"
        )


def _check_shares(params: PretrainParams, ranks: Ranks) -> None:
    """Raise ConfigError when the micro-batches of an update cannot be shared out equally."""
    if params.batch.micro_batches % ranks.world:
        valid = ", ".join(
            str(n) for n in range(1, params.batch.micro_batches + 1) if not params.batch.micro_batches % n
        )
        raise ConfigError(
            f"{ranks.world} processes cannot share the {params.batch.micro_batches} micro-batches of an update; start "
            f"one of {valid}, or change pretrain.batch.micro_batches"
        )


def _announce(watch: Watch, done: int, hardware: Hardware) -> None:
    spec, ranks = watch.spec, watch.ranks
    parameters = _parameters(watch.module.objective)
    start = max(0, done - spec.first_update)
    sizes = ", ".join(f"{name} of {count / 1e6:.2f} M" for name, count in parameters.items())
    say(
        f"pretraining {spec.pretrain.objective}: {sizes} parameters, {spec.pretrain.updates:,} updates on "
        f"{hardware.accelerator}, precision {hardware.precision}"
        + (f", {ranks.world} processes" if ranks.world > 1 else "")
        + (f", from update {start:,}" if start else "")
        + (f", continues {spec.base.name}" if spec.base else "")
        + (f", extends {spec.extends.run} ({spec.first_update:,} updates)" if spec.extends else "")
    )
    watch.logger.log.start(
        done,
        watch.data.hours,
        {"identity": spec.identity, **{f"{name}_parameters": n for name, n in parameters.items()}},
    )
    if not start:
        base = {"base": disclosed(spec.base)} if spec.base else {}
        watch.logger.log_hyperparams(spec.pretrain.model_dump(mode="json", exclude={"probe"}) | base)


def _parameters(objective: Objective) -> dict[str, int]:
    """Parameters of each module that is exported; of the objective where none is."""
    modules = objective.exports() or {"objective": objective}
    return {name: sum(each.numel() for each in module.parameters()) for name, module in modules.items()}


def _finish(watch: Watch, hardware: Hardware) -> None:
    """The receipt: what the catalog keeps of the run. Numbers of the last rows come from the log, whoever wrote it."""
    spec, data = watch.spec, watch.data
    latest: dict[str, float] = {}
    for event in read_events(spec.folder):
        latest |= event["values"] if event["kind"] == "metrics" else {}
    watch.logger.log.end(spec.last_update, data.hours, {})
    notes = {
        "parameters": sum(_parameters(watch.module.objective).values()),
        "updates": spec.last_update,
        "hours_heard": data.hours,
        "clips_skipped": data.clips_skipped,
        "checkpoint": str(step_file(spec.folder / CHECKPOINTS, spec.last_update)),
        "metrics": latest,
        "accelerator": hardware.accelerator,
        "precision": hardware.precision,
    }
    write_receipt(spec.folder, spec.identity, notes)


def _quiet() -> None:
    """Silence Lightning's hints, which concern its own loaders and loggers."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of DDP, about a convolution of height 1
