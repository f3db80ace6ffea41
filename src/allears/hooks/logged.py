"""Which entries of the catalog MLflow is told about, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from allears.corpus.manifest import Manifest
from allears.params.base import Paths
from allears.params.policy import Policies
from allears.pipeline_registry import PARTS
from allears.storage.digest import file_digest
from allears.tracking import TrackedRun
from allears.tracking.run import ENCODER_MODEL

if TYPE_CHECKING:
    import pandas as pd

PAGES = ("audit_page", "croissant", "datasheet", "report_page", "model_card")  # logged as they are saved
HANDLES = {"encoder": ENCODER_MODEL}  # exports that are registered, and the first part of their name
TABLES = ("probe", "probe_comparison", "evaluation", "encoder_comparison")  # what a run proved
SUMMARIES = ("audit_summary", "pretrain_summary")  # their numbers become metrics of the run


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


def note_input(run: TrackedRun, name: str, data: Any) -> None:
    """Manifest and shards, also of other corpora that a pretraining hears, with their digest as version."""
    match name:
        case "manifest":
            seconds, size = manifest_extent(data)
            run.dataset("manifest", data.digest, rows=data.rows, hours=seconds / 3600, size_bytes=size)
        case "shard_set" if data:
            _note_shards(run, "shards", data if isinstance(data, Mapping) else data.to_json())
        case "pretrain_plan":
            for one in data["others"]:
                _note_shards(run, f"shards-{one['corpus']}", one["shard_set"])


def _note_shards(run: TrackedRun, name: str, fields: Mapping[str, Any]) -> None:
    size = sum(tar.stat().st_size for tar in Path(fields["folder"]).glob("*.tar"))
    hours = float(fields["seconds"]) / 3600
    run.dataset(name, fields["digest"], rows=int(fields["clips"]), hours=hours, size_bytes=size)


def note_output(run: TrackedRun, name: str, data: Any, catalog: CatalogProtocol) -> None:
    """Pages and cards as artifacts, comparisons as tables and metrics, summaries as metrics, the export as a registered
    model.
    """
    if name in PAGES:
        run.artifact(Path(catalog[name]._filepath), "pages")  # noqa: SLF001 - Kedro has no public name for it
    if name in SUMMARIES:
        run.metrics(numbers(data, name.removesuffix("_summary")))
    if name in TABLES:
        run.table(name, data)
        run.metrics(gains(data, name))
    if name in HANDLES:
        paths: Paths | Mapping[str, Any] = catalog.load("params:paths")
        corpus = paths.corpus if isinstance(paths, Paths) else paths["corpus"]
        folder = Path(data["folder"])
        run.model(f"{HANDLES[name]}-{corpus}", folder, file_digest(folder / "model.safetensors"))


def gains(table: pd.DataFrame, name: str) -> dict[str, float]:
    """Errors and gain with its interval of the assessable rows over all clips: `probe.text.share-1.random.gain`."""
    rows = table[table["assessable"].astype(bool)]
    rows = rows[rows["chosen"].astype(bool)] if "chosen" in rows else rows
    rows = rows[rows["axis"] == "all"] if "axis" in rows else rows
    return {
        re.sub(r"[^\w./ -]+", "-", f"{name}.{row['target']}.share-{row['share']:g}.{row['baseline']}.{key}"): float(
            row[key]
        )
        for row in rows.to_dict("records")
        for key in ("baseline_error", "pretrained_error", "gain", "low", "high")
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
