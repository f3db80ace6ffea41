"""The pipelines by the names that people type."""

from __future__ import annotations

from importlib import import_module

from kedro.framework.project import pipelines as project_pipelines
from kedro.pipeline import Pipeline

# Each name and the steps it runs, in the order of the data. `audit` and `pretrain` do all that they need; of the others
# `kedro run` does first what is not made yet (`cli.needs`).
PARTS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "audit": ("ingest", "audit", "document"),
    "shard": ("shard",),
    "document": ("document",),
    "pretrain": ("ingest", "audit", "shard", "document", "pretrain"),
    "finetune": ("finetune",),
    "evaluate": ("evaluate",),
    "report": ("report",),
    "__default__": ("ingest", "audit", "shard", "document", "pretrain", "finetune", "evaluate", "report"),
}


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines, or only those that the command asked for: the others are not even imported."""
    asked = project_pipelines._requested_pipelines  # noqa: SLF001
    names = [name for name in PARTS if asked is None or name in asked or "__default__" in asked]
    made = {step: _create(step) for step in dict.fromkeys(step for name in names for step in PARTS[name])}
    return {name: sum((made[step] for step in PARTS[name]), Pipeline([])) for name in names}


def steps() -> dict[str, Pipeline]:
    """Each step alone, under the name of the pipeline that is made of it."""
    return {step: _create(step) for step in PARTS["__default__"]}


def _create(step: str) -> Pipeline:
    """A step's nodes under its name: Kedro-Viz shows each step as one box that opens."""
    pipeline: Pipeline = import_module(f"allears.pipelines.{step}.pipeline").create_pipeline()
    return Pipeline(pipeline, namespace=step, prefix_datasets_with_namespace=False)
