"""Where runs and exports lie, which run is extended, and what an export says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from allears.errors import ConfigError, TrainingError, nearest
from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import ExtendedRun, PretrainSpec
from allears.pipelines.pretrain.corpora import HeardCorpus, facts
from allears.storage.files import read_json, write_text
from allears.storage.receipt import NAME as RECEIPT
from allears.training.spec_file import SPEC_FILE, forget_errors, read_spec, write_spec

if TYPE_CHECKING:
    from allears.checkpoints.heard import Heard

SHOWN = 12  # hexadecimal digits of a run's name


def runs_folder(paths: Paths) -> Path:
    """One folder a run, named after its identity."""
    return paths.models / "runs"


def export_folder(paths: Paths, run: str) -> Path:
    """The export of a run."""
    return paths.models / "encoder" / run


def find(paths: Paths, params: PretrainParams) -> ExtendedRun:
    """The finished run that `pretrain.extend` names by its first characters. ConfigError lists those there are."""
    asked = str(params.extend)
    finished = sorted(path.parent for path in runs_folder(paths).glob(f"*/{RECEIPT}"))
    chosen = [folder for folder in finished if folder.name.startswith(asked)]
    if len(chosen) != 1:
        names = [folder.name for folder in finished]
        why = "no finished run" if not chosen else "more than one run"
        there = f"the finished runs are {', '.join(names)}" if names else "there is none yet: pretrain without it first"
        raise ConfigError(
            f"pretrain.extend is '{asked}': {why} of corpus '{paths.corpus}' begins so{nearest(asked, names)} ({there})"
        )
    receipt = read_json(chosen[0] / RECEIPT)
    notes = receipt["notes"]
    return ExtendedRun(
        run=chosen[0].name,
        identity=receipt["identity"],
        checkpoint=Path(notes["checkpoint"]),
        updates=int(notes["updates"]),
    )


def hand_over(spec: PretrainSpec) -> NoReturn:
    """Write the spec for whoever trains it elsewhere, and end with what to type there (TrainingError)."""
    path = spec.folder / SPEC_FILE
    forget_errors(spec.folder)
    write_spec(path, spec)
    raise TrainingError(
        f"the training is handed over, as pretrain.launch is external: its spec is {path}. On each node type\n"
        "  torchrun --nnodes=NODES --nproc-per-node=GPUS --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 "
        f"-m allears.training.run {path}\n"
        f"where NODES × GPUS divides pretrain.batch.micro_batches = {spec.pretrain.batch.micro_batches}; all nodes "
        "must see that folder and the shards under the same names. When it is done, run this command again: it adopts "
        "the result. Killed, the same torchrun goes on from the last checkpoint"
    )


def adopt(folder: Path) -> None:
    """Tell MLflow of a training that was handed over and is finished; once."""
    from allears.tracking import child_run, current

    told = folder / "told"
    if current() is not None and not told.exists():
        with child_run("pretrain", folder):
            pass
        write_text(told, "MLflow has been told of this training, which ran elsewhere\n")


def check_extension(extends: ExtendedRun, spec: PretrainSpec) -> None:
    """A run can only be extended by the same model, objective and targets. TrainingError says which differ."""
    before = read_spec(extends.checkpoint.parents[1] / "spec.json")
    if not isinstance(before, PretrainSpec):
        raise TrainingError(f"run {extends.run} is no pretraining; name one under pretrain.extend that is")
    pairs = {
        "pretrain.model": (before.pretrain.model, spec.pretrain.model),
        "pretrain.objective": (before.pretrain.chosen, spec.pretrain.chosen),
        "the unit model": (before.targets.get("digest"), spec.targets.get("digest")),
    }
    if different := [name for name, (was, now) in pairs.items() if was != now]:
        raise TrainingError(
            f"run {extends.run} cannot be extended: {' and '.join(different)} must be the same as then. Units change "
            "with the corpus and with pretrain.units; set the parameters back, or start a new run without "
            "pretrain.extend"
        )


def whom(pretrained: dict[str, Any], heard: Sequence[HeardCorpus], paths: Paths) -> Heard:
    """Whom this run and the ones that it extends have heard."""
    from allears.checkpoints.heard import Heard, load_heard

    before = pretrained["extends"]
    now = [Heard.of(one.corpus, one.rows["group"], one.pcm_sha256) for one in heard]
    return reduce(Heard.joined, now).joined(load_heard(export_folder(paths, before)) if before else None)


def provenance(
    pretrained: dict[str, Any], heard: Sequence[HeardCorpus], versions: Sequence[str], paths: Paths
) -> dict[str, Any]:
    """Where the weights come from: data digest, licences of the clips heard, objective, budget, runs before.

    Clips, speakers and hours are of all corpora that are `heard`, of these `versions`; `corpora` says what of each,
    where there are several.
    """
    rate_hz = int(pretrained["settings"]["model"]["log_mel"]["sample_rate_hz"])
    each = [facts(one, version, rate_hz) for one, version in zip(heard, versions, strict=True)]
    licences: Counter[str] = sum((Counter(one["licences"]) for one in each), Counter())
    earlier = None
    if pretrained["extends"]:
        file = export_folder(paths, pretrained["extends"]) / "provenance.json"
        earlier = read_json(file) if file.exists() else {"run": pretrained["extends"]}
        for name, count in earlier.get("licences", {}).items():
            licences[name] = max(licences[name], count)
    return {
        "corpus": paths.corpus,
        "data_digest": versions[0],
        "shards": pretrained["inputs"]["shards"],
        "licences": dict(sorted(licences.items())),
        "clips": sum(one["clips"] for one in each),
        "speakers": sum(one["speakers"] for one in each),
        "hours": round(sum(one["hours"] for one in each), 4),
        "run": pretrained["run"],
        "objective": pretrained["objective"],
        "settings": pretrained["settings"],
        "updates": pretrained["updates"],
        "hours_heard": pretrained["hours_heard"],
        "accelerator": pretrained["accelerator"],
        "precision": pretrained["precision"],
        "extends": earlier,
    } | ({"corpora": each} if len(each) > 1 else {})
