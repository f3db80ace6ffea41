"""Steps of `finetune`: see what the labels allow, run the grid in a process of its own, name its best model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from allears.audit.licences import check_weights
from allears.checkpoints.bases import declared_bases, disclosed, find_base, unknown_speakers
from allears.checkpoints.known import CONFIG, PROVENANCE, WEIGHTS
from allears.errors import ConfigError, StorageError, run_command
from allears.params.audit import AuditParams
from allears.params.base import Base, Paths
from allears.params.corpus import is_name
from allears.params.finetune import FinetuneParams
from allears.params.spec_finetune import VERSION, FinetuneSpec
from allears.shards.handle import ShardSet
from allears.storage.digest import file_digest, identity, value_digest
from allears.storage.files import read_json
from allears.storage.portable import portable
from allears.storage.receipt import read_receipt
from allears.storage.tables import table_digest
from allears.types import SPLITS, Split

logger = logging.getLogger(__name__)
SCORES, CURVES = "finetune_scores.parquet", "finetune_curves.parquet"
BESIDE_THE_SCORES = {"encoder", "workers", "accelerator"}  # they depend on the encoder's weights, not on its name
BESIDE_A_BASELINE = BESIDE_THE_SCORES | {"arms", "frozen_blocks", "frozen_updates"}


def plan_finetuning(
    clips: pd.DataFrame,
    shard_set: dict[str, Any],
    encoder: dict[str, Any],
    params: FinetuneParams,
    audit: AuditParams,
    paths: Paths,
) -> dict[str, Any]:
    """Tasks, classes, shares and counts, what is skipped and why; which encoder; and the identity of the grid."""
    from allears.checkpoints.heard import check_unheard
    from allears.downstream.grid import plan_tasks

    export, origin, base = find_encoder(encoder, params, paths)
    if base is not None:
        check_weights(base.licence, audit.licences)
    if params.leave_one_group_out and origin == paths.corpus:
        raise ConfigError(
            f"finetune.leave_one_group_out tests every speaker of '{paths.corpus}', and its own encoder has heard most "
            "of them: name the encoder of another corpus with finetune.encoder"
        )
    table = paths.clips
    tested: tuple[Split, ...] = SPLITS if params.leave_one_group_out else ("dev", "test")
    cure = "Pretrain on it as it is now, or name the encoder of another corpus with finetune.encoder"
    check_unheard(export, paths.corpus, table, ShardSet.from_json(shard_set), tested, cure)
    facts = {"base": disclosed(base)} if base else dict(read_json(export / PROVENANCE))
    for sentence in unknown_speakers(facts):
        logger.warning(sentence)
    plans = plan_tasks(table, params, int(shard_set["sample_rate_hz"]))
    for plan in plans:
        classes = f"{len(plan.classes)} classes, " if plan.classes else ""
        logger.info(
            "%s: %s%d clips to train on, %d of dev and %d of test speakers; shares %s; encoder of %s",
            plan.name, classes, plan.train_clips, plan.dev_clips, plan.test_clips,
            ", ".join(f"{100 * share:g} %" for share in plan.shares), origin,
        )  # fmt: skip
        for reason in plan.skipped:
            logger.warning("%s: skipped, %s", plan.name, reason)
    inputs = {
        "encoder": file_digest(export / WEIGHTS),
        "shards": str(shard_set["digest"]),
        "clips": table_digest(clips),
    }
    of_base = {"base": value_digest(disclosed(base))} if base else {}  # its task models state licence and origin
    alike = inputs | {"encoder": file_digest(export / CONFIG)}
    baselines = identity("baselines", VERSION, alike, params.model_dump(mode="json", exclude=BESIDE_A_BASELINE))
    return {
        "plans": [plan.model_dump(mode="json") for plan in plans],
        "encoder": str(export),
        "encoder_corpus": origin,
        "base": disclosed(base) if base else None,
        "inputs": inputs,
        "identity": grid_identity(inputs | of_base, params),
        "baselines": baselines,
    }


def run_finetuning(
    plan: dict[str, Any], shard_set: dict[str, Any], params: FinetuneParams, paths: Paths
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Scores of test clips, curves on dev clips, and the run's handle; trained once for the same inputs."""
    folder = grid_folder(paths, plan["identity"])
    spec = FinetuneSpec.model_validate(
        {
            "folder": folder,
            "baselines": paths.models / "baselines" / plan["baselines"][:16],
            "identity": plan["identity"],
            "corpus": paths.corpus,
            "shard_set": shard_set,
            "clips": paths.clips,
            "encoder": plan["encoder"],
            "base": plan["base"],
            "plans": plan["plans"],
            "finetune": params,
        }
    )
    if read_receipt(folder, spec.identity) is None:
        from allears.process.launch import launch
        from allears.tracking import child_run

        folder.mkdir(parents=True, exist_ok=True)
        encoder, seeds = plan["encoder_corpus"], f"seed {params.seed}, {params.seeds} repetitions"
        with child_run(f"finetune the encoder of {encoder} on {paths.corpus}, {seeds}", folder):
            launch(spec, folder)
    notes = read_receipt(folder, spec.identity) or {}
    scores = pd.read_parquet(folder / SCORES)
    curves = pd.read_parquet(folder / CURVES)
    skipped = [f"{one.name}: {reason}" for one in spec.plans for reason in one.skipped]
    run = {"run": folder.name, "folder": str(folder), "skipped": skipped, "models": notes.get("models", {})}
    encoder = {"folder": plan["encoder"], "corpus": plan["encoder_corpus"], "digest": plan["inputs"]["encoder"]}
    encoder["base"] = plan["base"]
    return scores, curves, run | {"encoder": encoder, "alike": finished_alike(plan, params, paths)}


def finished_alike(plan: dict[str, Any], params: FinetuneParams, paths: Paths) -> list[dict[str, str]]:
    """Other encoders of this project that were fine-tuned with the same labels, settings and precision: name, file of
    scores.
    """
    from allears.checkpoints.known import encoder_name, exports

    found = {}
    done = read_receipt(grid_folder(paths, plan["identity"]), plan["identity"]) or {}
    for export in exports(paths.data):
        inputs = plan["inputs"] | {"encoder": file_digest(export / WEIGHTS)}
        name = grid_identity(inputs, params)
        other = read_receipt(grid_folder(paths, name), name)
        if name != plan["identity"] and other is not None and other.get("precision") == done.get("precision"):
            found[name] = {"encoder": encoder_name(export), "scores": str(grid_folder(paths, name) / SCORES)}
    return list(found.values())


def grid_identity(inputs: dict[str, str], params: FinetuneParams) -> str:
    """The identity of a grid: what is trained, on what."""
    return identity("finetune", VERSION, inputs, params.model_dump(mode="json", exclude=BESIDE_THE_SCORES))


def grid_folder(paths: Paths, name: str) -> Path:
    """Where the grid of this identity lies."""
    return paths.models / "finetune" / name[:16]


def export_task_model(run: dict[str, Any]) -> dict[str, Any]:
    """The handle of the best model of the first task (`folder` is null without a pretrained arm), and of all tasks."""
    models = list(run["models"].items())
    name, best = models[0] if models else (None, {})
    return {
        "run": run["run"],
        "task": name,
        "folder": best.get("folder"),
        "dev_error": best.get("dev_error"),
        "models": run["models"],
    }


def find_encoder(encoder: dict[str, Any], params: FinetuneParams, paths: Paths) -> tuple[Path, str, Base | None]:
    """The folder to start from, the corpus it was trained on (or its name), and the declared base that it is, if any.

    `finetune.encoder`: null is this corpus's, a name another corpus's or a base, anything else a folder. Raises
    ConfigError or StorageError with what to do when there is none.
    """
    asked, origin = params.encoder, paths.corpus
    bases = [base.name for base in declared_bases(paths.data)]
    if asked is None:
        if not encoder:
            raise ConfigError(
                f"corpus '{origin}' has no encoder yet: run `kedro run --pipeline pretrain --params corpus={origin}`, "
                "or name another corpus's with finetune.encoder"
            )
        folder = Path(encoder["folder"])
        modules = encoder.get("modules", ["encoder"])  # a handle of an earlier allears names none
        if "encoder" not in modules:
            raise ConfigError(
                f"the pretraining of corpus '{origin}' made no encoder (its objective exports "
                f"{', '.join(modules)}): pretrain with another pretrain.objective, or name another corpus's "
                "encoder with finetune.encoder"
            )
    elif (handle := paths.data / "06_models" / asked / "encoder.json").exists():
        folder, origin = Path(read_json(handle)["folder"]), asked
    elif asked in bases:
        base = find_base(paths.data, asked, "finetune.encoder")
        return base.folder, asked, base
    elif Path(asked).is_dir():
        folder, origin = Path(asked), Path(asked).name
    else:
        made = sorted(path.parent.name for path in (paths.data / "06_models").glob("*/encoder.json"))
        raise ConfigError(
            f"finetune.encoder is '{asked}', which is neither a corpus with an encoder (there are: "
            f"{', '.join(made) or 'none'}), nor a declared base ({', '.join(bases) or 'none'}), nor a folder"
            + (f"; make one with `{run_command('pretrain', {'corpus': asked})}`" if is_name(asked) else "")
        )
    if not (folder / WEIGHTS).exists():
        raise StorageError(
            f"{folder} has no {WEIGHTS}: it is not the export of an encoder, or was deleted; run `kedro run --pipeline "
            f"pretrain --params corpus={origin}`"
        )
    if not (folder / PROVENANCE).exists():
        raise ConfigError(
            f"{folder} is not an export of allears: it lacks {PROVENANCE}. Declare a public encoder as a base first, "
            f"with its licence and origin: allears base add NAME {folder} --licence SPDX --origin …"
        )
    return portable(folder), origin, None
