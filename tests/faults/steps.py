"""Ingest and audit with the project's catalog, without the rest of a Kedro run: to throw things at, and to kill.

As a script, in a project's folder: `python -m tests.faults.steps FOLDER ingest`. It prints a line once everything is
imported and the work begins.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from allears.corpus.settings import remember
from allears.params.base import Paths
from tests.project import ROOT

CORPUS = "mine"
STARTED = "started"
WORKERS = 2


def run(folder: Path | str, *names: str, say: str | None = None, **params: Any) -> DataCatalog:
    """Run pipelines over the corpus in `folder` (or a bucket), with the working directory as project; what they made.

    `params` are nested, as those of `--params`. `say` is printed when the work begins.
    """
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), base_env="base", default_run_env="base", runtime_params={"corpus": CORPUS, **params},
        merge_strategy={"parameters": "soft"},
    )  # fmt: skip
    parameters = loader["parameters"]
    layout = params.get("ingest", {}).get("layout")
    remember(Paths(**parameters["paths"]), CORPUS, path=str(folder), licence="CC0-1.0", layout=layout)
    catalog: DataCatalog = DataCatalog.from_config(loader["catalog"])
    shipped = ROOT / "conf" / "base" / "parameters_policies.yml"  # the working directory has no conf
    catalog["shipped_policies"] = MemoryDataset(yaml.safe_load(shipped.read_text()))
    pipelines = [import_module(f"allears.pipelines.{name}.pipeline").create_pipeline() for name in names]
    for pipeline in pipelines:
        for name, model in _models(pipeline).items():
            catalog[name] = MemoryDataset(model(**parameters.get(name.removeprefix("params:"), {})), "assign")
    if say:
        print(say, flush=True)
    for pipeline in pipelines:
        SequentialRunner().run(pipeline, catalog)
    return catalog


def _models(pipeline: Pipeline) -> dict[str, Any]:
    """`params:x` → the model that the nodes are annotated with."""
    found = {}
    for node in pipeline.nodes:
        hints = get_type_hints(node.func)
        for name, parameter in zip(node.inputs, signature(node.func).parameters, strict=True):
            if name.startswith("params:"):
                found[name] = hints[parameter]
    return found


def contents(project: Path) -> dict[str, bytes]:
    """Every file below `project/data`; lines of journals may stand in any order, and times of receipts differ."""
    found = {str(p.relative_to(project)): p.read_bytes() for p in (project / "data").rglob("*") if p.is_file()}
    for name, data in found.items():
        if name.endswith(".jsonl"):
            found[name] = b"".join(sorted(data.splitlines()))
        elif name.endswith(".json"):
            found[name] = re.sub(rb'"(made|finished)_unix_s": [0-9.]+', b"", data)
    return found


if __name__ == "__main__":
    both = {"workers": WORKERS}
    run(sys.argv[1], *sys.argv[2:], say=STARTED, ingest=both, audit={"measures": both})
