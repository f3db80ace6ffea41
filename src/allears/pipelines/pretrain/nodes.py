"""Steps of `pretrain`: plan the batches, prepare targets, train, export, and say what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from allears.audit.licences import check_weights
from allears.errors import ConfigError
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import VERSION, PretrainSpec
from allears.pipelines.pretrain import corpora, probe_nodes, runs, summary, units
from allears.process.energy import METRICS, read_cost
from allears.reporting.terminal import show_encoders
from allears.shards.handle import ShardSet
from allears.storage.digest import identity
from allears.storage.receipt import read_receipt, write_receipt

EXPORT_VERSION = 4
# What the weights do not depend on, or (from_epoch) among the inputs. Where something is damaged they do depend on
# on_damage; but a run that it stopped must be able to go on, and the receipt counts what was skipped.
BESIDE_THE_WEIGHTS = {
    "probe", "guards", "extend", "from_epoch", "objectives", "units", "accelerator", "checkpoint_every", "log_every",
    "validate_every", "validate_batches", "processes", "launch", "reader_threads", "shards_from", "cache_gb",
    "on_damage", "encoders", "strategy", "timeout_s",
    "corpora",  # the plan's digest knows them
    "init_from", "frozen_blocks", "units_from",  # among the inputs
}  # fmt: skip


def plan_pretraining(
    shard_set: dict[str, Any],
    clips: pd.DataFrame,
    audit_summary: dict[str, Any],
    params: PretrainParams,
    audit: AuditParams,
    paths: Paths,
) -> dict[str, Any]:
    """What will be heard: digests, updates, hours, padding, corpora; and which run is extended. Reads no audio.

    `others` are the corpora of `pretrain.corpora` as they are now: later nodes read them from here. The table of clips
    is read again from its file, as the training process does, without pandas.
    """
    from allears.checkpoints.heard import check_unheard
    from allears.downstream.labels import read_labelled
    from allears.training.plan import summarise_plan, training_data

    del clips
    shards = ShardSet.from_json(shard_set)
    params, base = runs.with_base(params, paths)
    if base is not None:
        check_weights(base.licence, audit.licences)
        runs.check_protected(base, shards, paths)
    units.check_source(units.find_source(params, shards, paths), audit.licences)
    read_labelled(paths.clips, params.probe.label)  # a typo must not wait until everything is trained
    _check_probe(params)
    extends = None if params.extend is None else runs.find(paths, params)
    if extends is not None:
        cure = "The splits have changed since it was trained: start a new run, without pretrain.extend"
        check_unheard(runs.told(paths, extends.run), paths.corpus, paths.clips, shards, ("dev", "test"), cure)
    others = corpora.find_others(params, paths)
    data = training_data(shards, paths.clips, params, others)
    plan = summarise_plan(data, runs.first_cursor(paths, data, extends, params.from_epoch), params.updates)
    names = [paths.corpus, *(one.corpus for one in others)]
    plan["corpora"] = [{"corpus": name} | one for name, one in zip(names, plan["corpora"], strict=True)]
    corpora.say(plan)
    return plan | {
        "version": str(audit_summary["version"]),
        "others": [one.model_dump(mode="json") for one in others],
        "extends": extends.model_dump(mode="json") if extends else None,
    }


def prepare_targets(
    pretrain_plan: dict[str, Any], shard_set: dict[str, Any], params: PretrainParams, paths: Paths
) -> dict[str, Any]:
    """Prepare the units of k-means, where the objective uses units.

    k-means sees training clips only, of every corpus that is heard; clips of train and dev speakers get labels, those
    of test speakers none. A run that is extended gives its unit model to clips that it has not seen. TrainingError,
    before anything is labelled, when it had other settings.
    """
    from allears.training.label import prepare_units, units_handle
    from allears.training.plan import training_data

    params, base = runs.with_base(params, paths)
    if "units" not in params.chosen.inputs:
        return {"kind": "none"}  # nothing is read for it, and `train_encoder` checks what is extended
    others = corpora.read_others(pretrain_plan)
    shards = ShardSet.from_json(shard_set)
    data = training_data(shards, paths.clips, params, others)
    features = [one.features for one in corpora.paths_of(paths, others)]
    source = units.find_source(params, shards, paths)
    if (extends := corpora.extended(pretrain_plan)) is not None:
        before = runs.check_extension(extends, params, base)
        source = units.extended_source(source, before, units_handle(data, params, *features, source=source))
    return prepare_units(data, params, *features, source=source) | {"base": source.base}


def train_encoder(
    pretrain_plan: dict[str, Any],
    targets: dict[str, Any],
    shard_set: dict[str, Any],
    params: PretrainParams,
    paths: Paths,
) -> dict[str, Any]:
    """The handle of the trained run; trained in a child process, once for the same plan, targets and parameters."""
    extends = corpora.extended(pretrain_plan)
    params, base = runs.with_base(params, paths)
    inputs = {
        "plan": str(pretrain_plan["plan"]),
        "targets": str(targets.get("digest", "none")),
        "extends": extends.identity if extends else "none",
    }
    if base is not None:
        inputs |= {"base": base.digest, "frozen_blocks": str(params.frozen_blocks)}
    if params.from_epoch is not None:
        inputs["from_epoch"] = str(params.from_epoch)
    asked = params.model_dump(mode="json", exclude=BESIDE_THE_WEIGHTS) | {
        "chosen": params.chosen.model_dump(mode="json"),
        "encoder": params.chosen_encoder.model_dump(mode="json"),
    }
    name = identity("pretrain", VERSION, inputs, asked)
    folder = runs.runs_folder(paths) / name[: runs.SHOWN]
    spec = PretrainSpec(
        folder=folder,
        identity=name,
        shard_set=shard_set,
        clips=paths.clips,
        others=corpora.read_others(pretrain_plan),
        plan=str(pretrain_plan["plan"]),
        targets=targets,
        extends=extends,
        base=base,
        pretrain=params,
    )
    if read_receipt(folder, name) is None:
        _train(spec, corpora.versions_of(pretrain_plan), paths)
    elif params.launch == "external":
        runs.adopt(spec, paths)
    notes = read_receipt(folder, name) or {}
    cost = read_cost(folder)
    return {
        "run": folder.name,
        "folder": str(folder),
        "identity": name,
        "corpus": paths.corpus,
        "objective": params.objective,
        "sample_rate_hz": params.chosen_encoder.sample_rate_hz,
        "settings": asked,
        "inputs": inputs | {"shards": str(shard_set["digest"])},
        "extends": extends.run if extends else None,
        **notes,
        "metrics": {key: value for key, value in notes.get("metrics", {}).items() if key not in METRICS},
        "cost": asdict(cost) if cost else None,  # of all sessions; metrics may hold that of an interrupted one
    }


def _train(spec: PretrainSpec, versions: Sequence[str], paths: Paths) -> None:
    """Note whom the run hears, then train in a child process, or hand over (TrainingError says what to type)."""
    from allears.process.launch import launch
    from allears.tracking import child_run
    from allears.training.plan import training_data

    if spec.extends:
        runs.check_units(runs.check_extension(spec.extends, spec.pretrain, spec.base), spec.targets)
    elif not spec.folder.exists():
        runs.mention_stopped(paths)
    data = training_data(ShardSet.from_json(spec.shard_set), paths.clips, spec.pretrain, spec.others)
    heard = corpora.heard_corpora(data, pd.read_parquet(paths.clips), spec.others, paths.corpus)
    runs.begin(spec, heard, versions, paths)
    if spec.pretrain.launch == "external":
        runs.hand_over(spec)
    with child_run(runs.title(spec.pretrain, paths), spec.folder):
        launch(spec, spec.folder)


def export_encoder(
    pretrain_plan: dict[str, Any],
    targets: dict[str, Any],
    pretrained: dict[str, Any],
    shard_set: dict[str, Any],
    clips: pd.DataFrame,
    params: PretrainParams,
    paths: Paths,
) -> dict[str, Any]:
    """Return the handle of an export folder that transformers and allears load, with card and provenance."""
    from allears.training.plan import training_data

    params, base = runs.with_base(params, paths)
    others = corpora.read_others(pretrain_plan)
    data = training_data(ShardSet.from_json(shard_set), paths.clips, params, others)
    heard = corpora.heard_corpora(data, clips, others, paths.corpus)
    provenance = runs.provenance(pretrained, heard, corpora.versions_of(pretrain_plan), paths, base)
    if "centres" in targets:
        provenance["units"] = {name: targets[name] for name in ("source", "centres", "base")}
    name = identity("export", EXPORT_VERSION, {"run": pretrained["identity"]}, provenance)
    folder = runs.export_folder(paths, pretrained["run"])
    if read_receipt(folder, name) is None:
        from allears.checkpoints.export import save_export
        from allears.training.pretrain import trained_objective

        exported = trained_objective(params, Path(pretrained["checkpoint"]), base).exports()
        whom = runs.whom(pretrained["extends"], heard, paths, runs.encoders_of(base, targets))
        provenance["cost"] = pretrained["cost"]  # beside the identity: the same weights may have cost more
        exported |= units.joined_encoder(targets, params)
        card = summary.card(provenance, list(exported)) + units.how_to_join(targets, params)
        save_export(folder, exported, provenance, card, whom, units.read_model(targets))
        write_receipt(folder, name, {"modules": sorted(exported)})
    modules = (read_receipt(folder, name) or {})["modules"]
    handle = {"folder": str(folder), "run": pretrained["run"], "corpus": paths.corpus, "identity": name}
    return handle | {"modules": modules}


def probe_encoder(
    encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame, params: PretrainParams, paths: Paths
) -> pd.DataFrame:
    """Scores of the probe by layer."""
    return probe_nodes.probe_encoder(encoder, shard_set, clips, params, paths)


def compare_probes(
    probe_scores: pd.DataFrame,
    encoder: dict[str, Any],
    shard_set: dict[str, Any],
    clips: pd.DataFrame,
    params: PretrainParams,
    audit: AuditParams,
    paths: Paths,
) -> pd.DataFrame:
    """Gains over other encoders (another objective, seed or budget) that were probed alike; printed as a table."""
    from allears.evaluation.comparisons import Least
    from allears.evaluation.probing import compare_encoders

    if "encoder" not in encoder["modules"]:
        return compare_encoders(probe_scores, [], Least(**audit.assessable.model_dump()))
    mine = probe_nodes.probe_spec(encoder, shard_set, clips, params, paths)
    others = probe_nodes.probed_alike(mine, probe_nodes.probe_inputs(encoder, shard_set, clips), paths)
    found = compare_encoders(probe_scores, others, Least(**audit.assessable.model_dump()))
    show_encoders("Probe: this encoder against others that were probed alike (best layer each)", found)
    return found


def _check_probe(params: PretrainParams) -> None:
    blocks = params.chosen_encoder.blocks
    if wrong := [layer for layer in params.probe.text_layers or () if not 0 <= layer <= blocks]:
        raise ConfigError(
            f"pretrain.probe.text_layers has {wrong}, but the encoder has {blocks} blocks: layers are "
            f"0 (its input) to {blocks}"
        )


def summarise_pretraining(
    audit_summary: dict[str, Any],
    pretrain_plan: dict[str, Any],
    pretrained: dict[str, Any],
    encoder: dict[str, Any],
    probe: pd.DataFrame,
    paths: Paths,
) -> dict[str, Any]:
    """Corpus, clips, hours, budget and what the probe says, as numbers; printed as a table."""
    found = summary.summarise(audit_summary, pretrain_plan, pretrained, encoder, probe)
    summary.show(found, probe, paths)
    return found
