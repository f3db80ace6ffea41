"""Entries of the catalog that are logged to MLflow: parameters, datasets, pages, tables and headline metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from allears.checkpoints.known import WEIGHTS, holds_encoder
from allears.corpus.manifest import Manifest
from allears.corpus.version import version_of
from allears.corpus.versions import all_versions
from allears.evaluation.wording import name_targets
from allears.params.base import Paths
from allears.params.policy import Policies
from allears.pipeline_registry import PARTS
from allears.storage.digest import file_digest
from allears.tracking import TrackedRun
from allears.tracking.run import ENCODER_MODEL

PAGES = ("audit_page", "croissant", "datasheet", "report_page", "model_card")  # logged as they are saved
HANDLES = {"encoder": ENCODER_MODEL}  # exports that are registered, and the first part of their name
TABLES = (  # what a run proved
    "split_comparison", "split_differences", "probe", "probe_comparison", "evaluation", "encoder_comparison",
)  # fmt: skip
HEADLINES = {"probe": "random", "evaluation": "scratch"}  # of a table, against this baseline: metrics of the run
SUMMARIES = ("audit_summary", "pretrain_summary")  # a few of their numbers become metrics, all a table
NAMED = 5  # hexadecimal digits of a version in the name of a dataset


def asked_pipelines(run_params: Mapping[str, Any]) -> list[str]:
    """The names of the pipelines that were asked for, in the order of the data (Kedro gives them in any)."""
    asked = run_params.get("pipeline_names") or ["__default__"]
    return sorted(asked, key=list(PARTS).index)


def run_tags(run_params: Mapping[str, Any], catalog: CatalogProtocol) -> dict[str, str]:
    """What was asked for: pipelines, environment, corpus, command-line parameters."""
    tags = {
        "pipelines": ",".join(asked_pipelines(run_params)),
        "env": run_params.get("env") or "local",
        "corpus": catalog.load("params:corpus"),
    }
    return {key: str(value) for key, value in tags.items()}


def parameters(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, Any]:
    """The parameters that the pipeline's nodes read."""
    prefix = "params:"
    names = sorted(name for name in pipeline.inputs() if name.startswith(prefix))
    values = {name.removeprefix(prefix): catalog.load(name) for name in names}
    if "policies" in values:  # of all that are written down, the one that judges
        name = values["audit"].policy
        shipped = Policies.model_validate(catalog.load("shipped_policies")["policies"])
        values["policy"] = values["policies"].described(name, shipped)
        rules = values["policies"].chosen(name).root
        values["policies"] = {
            code: rule.model_dump(exclude_defaults=True, exclude={"means"}) for code, rule in rules.items()
        }
    return values


def run_name(pipelines: Sequence[str], corpus: str, values: Mapping[str, Any]) -> str:
    """Return `so762 pretrain, standard, masked_units, seed 0`: the corpus, the pipelines and what they were asked."""
    what = "+".join("all" if name == "__default__" else name for name in pipelines)
    asked = []
    if "audit" in values:
        asked.append(values.get("policy", values["audit"].policy))
    if "pretrain" in values:
        asked += [values["pretrain"].objective, f"seed {values['pretrain'].seed}"]
    elif "finetune" in values:
        asked.append(f"seed {values['finetune'].seed}")
    return ", ".join([f"{corpus} {what}".strip(), *asked])


def note_input(run: TrackedRun, name: str, data: Any) -> None:
    """Note manifest and shards, also of other corpora that a pretraining uses, as datasets like `sample@db732`."""
    match name:
        case "manifest":
            seconds, size = manifest_extent(data)
            title = f"{data.folder.parent.name}@{data.digest[:NAMED]}"
            run.dataset(title, data.digest, rows=data.rows, hours=seconds / 3600, size_bytes=size)
        case "shard_set" if data:
            _note_shards(run, data if isinstance(data, Mapping) else data.to_json())
        case "pretrain_plan":
            for one in data["others"]:
                _note_shards(run, one["shard_set"])


def _note_shards(run: TrackedRun, fields: Mapping[str, Any]) -> None:
    folder, digest = Path(fields["folder"]), str(fields["digest"])
    size = sum(tar.stat().st_size for tar in folder.glob("*.tar"))
    paths = Paths(corpus=folder.parent.name, data=folder.parents[2])
    versions = [one.digest for one in all_versions(paths) if digest in one.shards]  # the last one is the newest
    title = f"{paths.corpus}@{(versions or [version_of(paths) or digest])[-1][:NAMED]}/shards"
    hours = float(fields["seconds"]) / 3600
    run.dataset(title, digest, rows=int(fields["clips"]), hours=hours, size_bytes=size)


def note_output(run: TrackedRun, name: str, data: Any, catalog: CatalogProtocol) -> None:
    """Log pages and cards as artifacts, comparisons and summaries as tables and headline metrics, the export as a
    registered model.
    """
    if name in PAGES:
        run.artifact(Path(catalog[name]._filepath), "pages")  # noqa: SLF001 - Kedro has no public name for it
    if name in SUMMARIES:
        every = numbers(data, name.removesuffix("_summary"))
        run.table(name, pd.DataFrame({"number": list(every), "value": list(every.values())}))
        if name == "audit_summary" and data["set_aside"]:
            run.table("set_aside", set_aside_table(data))
        run.metrics(audit_headlines(data) if name == "audit_summary" else pretrain_headlines(data))
    if name in TABLES:
        run.table(name, data)
        if name in HEADLINES:
            run.metrics(gains(data, name, HEADLINES[name]))
    if name == "unit_scores" and len(data):  # empty for objectives without a language model
        run.table(name, data)
        run.metrics(unit_headlines(data))
    if name in HANDLES:
        paths: Paths | Mapping[str, Any] = catalog.load("params:paths")
        corpus = paths.corpus if isinstance(paths, Paths) else paths["corpus"]
        folder = Path(data["folder"])
        if holds_encoder(folder):
            run.model(f"{HANDLES[name]}-{corpus}", folder, file_digest(folder / WEIGHTS))


def audit_headlines(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return how much the corpus has and the audit keeps, and how much there is to read about."""
    found = {
        "clips": summary["total"]["clips"], "hours": summary["total"]["hours"],
        "clips_kept": summary["selected"]["clips"], "hours_kept": summary["selected"]["hours"],
        "speakers": summary["total"]["speakers"], "quarantined": sum(summary["quarantine"].values()),
        "findings": len(summary["findings"]),
    }  # fmt: skip
    return {f"audit.{name}": float(value) for name, value in found.items()}


def set_aside_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per rule that is set aside for the corpus or for some of its groups."""
    rows = [
        {"rule": code, **{key: facts[key] for key in ("means", "measure", "clips", "judged", "share")}}
        for code, facts in summary["set_aside"].items()
    ]
    return pd.DataFrame(rows)


def pretrain_headlines(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return what the pretraining cost, and what it skipped."""
    return {f"pretrain.{name}": float(summary[name]) for name in ("updates", "hours_heard", "clips_skipped")}


def unit_headlines(scores: pd.DataFrame) -> dict[str, float]:
    """Return what a language model of units does on all held-out clips: `next_unit.perplexity`."""
    row = scores[scores["language"] == "all"].iloc[0]
    names = {
        "perplexity": "perplexity",
        "trigram": "trigram_perplexity",
        "gain": "gain",
        "continuation": "continuation",
    }
    return {f"next_unit.{shown}": float(row[name]) for name, shown in names.items() if not pd.isna(row[name])}


def gains(table: pd.DataFrame, name: str, baseline: str) -> dict[str, float]:
    """Return error and gain at the largest assessable share of each target's labels: `probe.text.gain`."""
    table = name_targets(table)
    rows = table[table["assessable"].astype(bool) & (table["baseline"] == baseline)]
    rows = rows[rows["chosen"].astype(bool)] if "chosen" in rows else rows
    rows = rows[rows["axis"] == "all"] if "axis" in rows else rows
    largest = rows.sort_values("share").drop_duplicates("target", keep="last")
    return {
        f"{name}.{row['target']}.{key}": float(row[key])
        for row in largest.to_dict("records")
        for key in ("pretrained_error", "gain")
    }


def manifest_extent(manifest: Manifest) -> tuple[float, int]:
    """Seconds of audio and bytes of the files of a manifest, part by part (a file of many clips counts once)."""
    seconds = 0.0
    sizes: dict[str, int] = {}
    for part in manifest.iter_parts(["file_sha256", "file_bytes", "start_s", "end_s"]):
        seconds += float((part["end_s"] - part["start_s"]).sum())
        sizes.update(zip(part["file_sha256"], part["file_bytes"], strict=True))
    return seconds, int(sum(sizes.values()))


def numbers(value: Any, name: str) -> dict[str, float]:
    """The numbers in a nested summary, as `name.key.key`; lists and text are left out."""
    if isinstance(value, bool):
        return {}
    if isinstance(value, (int, float)):
        return {name: float(value)}
    if isinstance(value, Mapping):
        return {
            key: number for part, inner in value.items() for key, number in numbers(inner, f"{name}.{part}").items()
        }
    return {}
