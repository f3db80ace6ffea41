"""Where runs and exports lie, which run is extended, and what an export says of itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from allears.checkpoints.bases import disclosed, find_base, trained_on_unknown
from allears.checkpoints.heard import NAME as HEARD
from allears.checkpoints.known import CONFIG, PROVENANCE
from allears.checkpoints.steps import CHECKPOINTS, step_file, steps
from allears.errors import ConfigError, TrainingError, nearest
from allears.params.base import Base, Paths
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import ExtendedRun, PretrainSpec
from allears.pipelines.pretrain.corpora import HeardCorpus, facts, licences_of
from allears.process.energy import VARIABLE
from allears.process.say import say
from allears.process.spec_file import SPEC_FILE, forget_errors, read_spec, write_spec
from allears.storage.digest import value_digest
from allears.storage.files import read_json, write_json, write_text
from allears.storage.receipt import NAME as RECEIPT

if TYPE_CHECKING:
    from allears.checkpoints.heard import Heard
    from allears.shards.batches import Cursor
    from allears.shards.handle import ShardSet
    from allears.training.plan import TrainingData

SHOWN = 12  # hexadecimal digits of a run's name


def runs_folder(paths: Paths) -> Path:
    """One folder a run, named after its identity."""
    return paths.models / "runs"


def export_folder(paths: Paths, run: str) -> Path:
    """The export of a run."""
    return paths.models / "encoder" / run


def find(paths: Paths, params: PretrainParams) -> ExtendedRun:
    """The run that `pretrain.extend` names by its first characters, finished or at its last checkpoint. ConfigError
    lists those there are.
    """
    asked = str(params.extend)
    there = sorted([path.parent for path in runs_folder(paths).glob(f"*/{RECEIPT}")] + stopped(paths))
    chosen = [folder for folder in there if folder.name.startswith(asked)]
    if len(chosen) != 1:
        names = [folder.name for folder in there]
        why = "no run with a checkpoint" if not chosen else "more than one run"
        known = f"there are {', '.join(names)}" if names else "there is none yet: pretrain without it first"
        raise ConfigError(
            f"pretrain.extend is '{asked}': {why} of corpus '{paths.corpus}' begins so{nearest(asked, names)} ({known})"
        )
    folder = chosen[0]
    if (folder / RECEIPT).exists():
        receipt = read_json(folder / RECEIPT)
        name, checkpoint, updates = receipt["identity"], receipt["notes"]["checkpoint"], receipt["notes"]["updates"]
    else:
        updates = steps(folder / CHECKPOINTS)[-1]
        checkpoint = step_file(folder / CHECKPOINTS, updates)
        name = value_digest([_spec(folder).identity, updates])
    return ExtendedRun(run=folder.name, identity=name, checkpoint=Path(checkpoint), updates=int(updates))


def with_base(params: PretrainParams, paths: Paths) -> tuple[PretrainParams, Base | None]:
    """Return the parameters with the encoder of the base that `pretrain.init_from` names, and that base; None without.

    ConfigError for a base that is not declared, StaleError for one that has changed, and ConfigError for an objective
    that does not suit it.
    """
    if params.init_from is None:
        return params, None
    from allears.checkpoints.export import read_config

    if not params.chosen.has_encoder:
        raise ConfigError(
            f"pretrain.init_from is '{params.init_from}', and pretrain.objective={params.objective} trains no encoder "
            "that could be continued; set it to null (pretrain.units_from takes units of a base)"
        )
    base = find_base(paths.data, params.init_from, "pretrain.init_from")
    config = read_config(base.folder / CONFIG)
    if params.frozen_blocks > config.blocks:
        raise ConfigError(
            f"pretrain.frozen_blocks is {params.frozen_blocks}, but base '{base.name}' has {config.blocks} blocks; ask "
            f"for at most {config.blocks}"
        )
    try:
        params.chosen.check(config)
    except ValueError as error:
        raise ConfigError(f"{error} (the encoder is that of base '{base.name}')") from error
    encoders = params.encoders | {config.family: config}
    return params.model_copy(update={"encoder": config.family, "encoders": encoders}), base


def check_protected(base: Base, shards: ShardSet, paths: Paths) -> None:
    """StaleError when the base lists a speaker of dev or test among those that it was trained on; says so where it
    lists nobody.
    """
    from allears.checkpoints.heard import check_unheard

    cure = "Continue another base, or train on a corpus whose test speakers it has not used"
    check_unheard(base.folder, paths.corpus, paths.clips, shards, ("dev", "test"), cure)
    if sentence := trained_on_unknown(base.model_dump()):
        say(f"warning: {sentence} Origin: {base.origin}")


def stopped(paths: Paths) -> list[Path]:
    """The folders of runs that did not come to their end, and whose weights another can go on from."""
    folders = sorted(path.parent for path in runs_folder(paths).glob(f"*/{HEARD}"))
    return [folder for folder in folders if not (folder / RECEIPT).exists() and steps(folder / CHECKPOINTS)]


def mention_stopped(paths: Paths) -> None:
    """Say, where a new run begins, that another has come some way: it may be meant to go on."""
    for folder in stopped(paths):
        say(
            f"run {folder.name} of this corpus stopped at update {steps(folder / CHECKPOINTS)[-1]:,}; what begins now "
            f"is another run, as clips or settings are others. pretrain.extend={folder.name} goes on from its weights, "
            "where model, objective and units are the same"
        )


def first_cursor(paths: Paths, data: TrainingData, extends: ExtendedRun | None, from_epoch: int | None) -> Cursor:
    """Where in the batches of `data` a run begins: where the run that it extends ends, unless an epoch is named.

    That one counts from the last epoch that was named for it, or for one before it.
    """
    from allears.shards.batches import Cursor, advanced

    if extends is None:
        return Cursor()
    if from_epoch is not None:
        return Cursor(extends.updates, from_epoch)
    spec: PretrainSpec | None = _spec(runs_folder(paths) / extends.run)
    while spec and spec.pretrain.from_epoch is None:
        spec = _spec(runs_folder(paths) / spec.extends.run) if spec.extends else None
    named = Cursor(spec.first_update, int(spec.pretrain.from_epoch or 0)) if spec else Cursor()
    return advanced(data.clips, data.plan, named, extends.updates)


def _spec(folder: Path) -> PretrainSpec:
    spec = read_spec(folder / SPEC_FILE)
    if not isinstance(spec, PretrainSpec):
        raise TrainingError(f"run {folder.name} is no pretraining; name one under pretrain.extend that is")
    return spec


def begin(spec: PretrainSpec, heard: Sequence[HeardCorpus], versions: Sequence[str], paths: Paths) -> None:
    """Note in the run's folder, before it starts, whom it will hear, of which versions and under which licences: it may
    never come to an export, and another run may extend it.
    """
    from allears.checkpoints.heard import save_heard

    before = spec.extends.run if spec.extends else None
    spec.folder.mkdir(parents=True, exist_ok=True)
    licences, earlier = _licences(heard, before, paths)
    about = {
        "run": spec.folder.name,
        **facts(heard, versions, spec.pretrain.chosen_encoder.sample_rate_hz),
        "objective": spec.pretrain.objective,
        "licences": licences,
        "extends": earlier,
        **_of_base(spec.base),
    }
    write_json(spec.folder / PROVENANCE, about)
    save_heard(spec.folder, whom(before, heard, paths, encoders_of(spec.base, spec.targets)))


def told(paths: Paths, run: str) -> Path:
    """The folder that says whom a run has heard: its export, or its own where it has none."""
    export = export_folder(paths, run)
    return export if (export / HEARD).exists() else runs_folder(paths) / run


def hand_over(spec: PretrainSpec) -> NoReturn:
    """Write the spec for whoever trains it elsewhere, and end with what to type there (TrainingError)."""
    path = (spec.folder / SPEC_FILE).absolute()
    forget_errors(spec.folder)
    write_spec(path, spec)
    country = f"{VARIABLE}={code} " if (code := os.environ.get(VARIABLE)) else ""
    raise TrainingError(
        f"the training is handed over, as pretrain.launch is external: its spec is {path}. On each node type\n"
        f"  {country}torchrun --nnodes=NODES --nproc-per-node=GPUS --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 "
        f"-m allears.training.run {path}\n"
        f"where NODES × GPUS divides pretrain.batch.micro_batches = {spec.pretrain.batch.micro_batches}; all nodes "
        "must see that folder and the shards under the same names. When it is done, run this command again: it adopts "
        "the result. Killed, the same torchrun goes on from the last checkpoint"
    )


def title(params: PretrainParams, paths: Paths) -> str:
    """Return the name of a pretraining's run in MLflow."""
    return f"pretrain {params.objective} on {paths.corpus}, seed {params.seed}"


def adopt(spec: PretrainSpec, paths: Paths) -> None:
    """Send a training that was handed over and is finished to MLflow; once."""
    from allears.tracking import child_run, current

    told = spec.folder / "told"
    if current() is not None and not told.exists():
        with child_run(title(spec.pretrain, paths), spec.folder):
            pass
        write_text(told, "MLflow has been told of this training, which ran elsewhere\n")


def check_extension(extends: ExtendedRun, params: PretrainParams, base: Base | None) -> PretrainSpec:
    """Return the spec of the run that is extended, which must have had the same model, objective, units and base.

    TrainingError names those that differ.
    """
    before = _spec(extends.checkpoint.parents[1])
    pairs = {
        "pretrain.encoder": (before.pretrain.chosen_encoder, params.chosen_encoder),
        "pretrain.objective": (before.pretrain.chosen, params.chosen),
        "pretrain.units": (before.pretrain.units, params.units),
        "pretrain.optimiser.layer_decay": (before.pretrain.optimiser.layer_decay, params.optimiser.layer_decay),
        "pretrain.init_from": (before.base and before.base.digest, base and base.digest),
        "pretrain.frozen_blocks": (before.pretrain.frozen_blocks, params.frozen_blocks),
    }
    if different := [name for name, (was, now) in pairs.items() if was != now]:
        raise TrainingError(
            f"run {extends.run} cannot be extended: {' and '.join(different)} must be the same as then; set the "
            "parameters back, or start a new run without pretrain.extend"
        )
    return before


def check_units(before: PretrainSpec, targets: Mapping[str, Any]) -> None:
    """Raise TrainingError when the units of a run are not those of the run that it extends."""
    if before.targets.get("centres") != targets.get("centres"):
        raise TrainingError(
            f"run {before.folder.name} cannot be extended: its units are of another unit model than those of "
            f"{targets.get('folder')}. Run the whole pipeline again, or start a new run without pretrain.extend"
        )


def whom(before: str | None, heard: Sequence[HeardCorpus], paths: Paths, encoders: Sequence[Path]) -> Heard:
    """Return whom a run is trained on: its own speakers, those of the run `before`, which it extends, and those of the
    `encoders` that it continues or takes units of, where these list them.
    """
    from allears.checkpoints.heard import Heard, load_heard

    now = [Heard.of(one.corpus, one.rows["group"], one.pcm_sha256) for one in heard]
    earlier = [load_heard(told(paths, before))] if before else []
    earlier += [load_heard(folder) for folder in encoders]
    return reduce(Heard.joined, [*now, *(each for each in earlier if each)])


def encoders_of(base: Base | None, targets: Mapping[str, Any]) -> list[Path]:
    """Return the folders of the encoders that a run continues, or takes units of."""
    return [*([base.folder] if base else []), *([Path(targets["encoder"])] if "encoder" in targets else [])]


def _of_base(base: Base | None) -> dict[str, Any]:
    """Return the base's part of a run's provenance; nothing without one."""
    return {} if base is None else {"base": disclosed(base)}


def _licences(
    heard: Sequence[HeardCorpus], before: str | None, paths: Paths
) -> tuple[dict[str, int], dict[str, Any] | None]:
    """The clips heard under each licence, those of the run `before` included, and what that says of itself."""
    licences: Counter[str] = sum((Counter(licences_of(one)) for one in heard), Counter())
    if before is None:
        return dict(sorted(licences.items())), None
    file = told(paths, before) / PROVENANCE
    earlier: dict[str, Any] = read_json(file) if file.exists() else {"run": before}
    for name, count in earlier.get("licences", {}).items():
        licences[name] = max(licences[name], count)
    return dict(sorted(licences.items())), earlier


def provenance(
    pretrained: dict[str, Any], heard: Sequence[HeardCorpus], versions: Sequence[str], paths: Paths, base: Base | None
) -> dict[str, Any]:
    """Where the weights come from: what is `heard` of corpora of these `versions`, under which licences, objective,
    budget, base, runs before.
    """
    rate_hz = int(pretrained["sample_rate_hz"])
    licences, earlier = _licences(heard, pretrained["extends"], paths)
    return {
        **facts(heard, versions, rate_hz),
        "licences": licences,
        "run": pretrained["run"],
        "objective": pretrained["objective"],
        "settings": pretrained["settings"],
        "updates": pretrained["updates"],
        "hours_heard": pretrained["hours_heard"],
        **({"clips_skipped": skipped} if (skipped := pretrained.get("clips_skipped")) else {}),
        "accelerator": pretrained["accelerator"],
        "precision": pretrained["precision"],
        "extends": earlier,
        **_of_base(base),
    }
