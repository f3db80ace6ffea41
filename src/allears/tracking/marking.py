"""Mark in MLflow what had used withdrawn data, and empty what may show it. Doing it again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from allears.tracking.outbox import DIGEST_CHARACTERS
from allears.tracking.run import MODEL_DIGEST_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "allears.withdrawn"
PERHAPS = "perhaps"  # it used a version that is removed: nobody can tell any more what was in it
KEPT = ("tables", "model")  # figures by group, which name no clip; weights, which cannot be emptied
_EMPTIED = "Clips that this page may have shown were withdrawn from the corpus. A new run writes it again."


def mark_withdrawn(client: MlflowClient, experiment: str, op: dict[str, Any]) -> None:
    """Tag runs whose datasets held withdrawn clips, runs nested in them, and registered models that had heard any; runs
    and models of `removed` datasets, which may have, unless more is known of them.
    """
    counts: dict[str, int] = {}
    for digest, count in op["datasets"].items():
        for run in _using(client, experiment, digest):
            counts[run] = max(count, counts.get(run, 0))
    perhaps = {run for digest in op.get("removed", ()) for run in _using(client, experiment, digest)} - set(counts)
    for run in (*counts, *sorted(perhaps)):
        for each in (run, *_runs(client, experiment, f"tags.mlflow.parentRunId = '{run}'")):
            if run in counts:
                client.set_tag(each, TAG, str(counts[run]))
            else:
                _tag_perhaps(client, each)
            for path in _files(client, each):
                client.log_text(each, emptied(path), path)
    for model in op["models"]:
        for version in client.search_model_versions(f"name = '{model['name']}'"):
            if version.tags.get(MODEL_DIGEST_TAG) == model["digest"]:
                client.set_model_version_tag(model["name"], version.version, TAG, str(model["clips"]))


def emptied(name: str) -> str:
    """What stands in a page of this file name instead of what it showed."""
    return json.dumps({"withdrawn": _EMPTIED}) if name.endswith(".json") else f"<p>{_EMPTIED}</p>\n"


def _tag_perhaps(client: MlflowClient, run: str) -> None:
    if TAG not in client.get_run(run).data.tags:
        client.set_tag(run, TAG, PERHAPS)
    for version in client.search_model_versions(f"run_id = '{run}'"):
        if TAG not in version.tags:
            client.set_model_version_tag(version.name, version.version, TAG, PERHAPS)


def _files(client: MlflowClient, run: str, folder: str | None = None) -> Iterator[str]:
    """Paths of a run's artifacts, but for those of KEPT."""
    for each in client.list_artifacts(run, folder):
        if each.is_dir and each.path not in KEPT:
            yield from _files(client, run, each.path)
        elif not each.is_dir:
            yield each.path


def _using(client: MlflowClient, experiment: str, digest: str) -> Iterator[str]:
    return _runs(client, experiment, f"dataset.digest = '{digest[:DIGEST_CHARACTERS]}'")


def _runs(client: MlflowClient, experiment: str, wanted: str) -> Iterator[str]:
    page = None
    while True:
        found = client.search_runs([experiment], wanted, page_token=page)
        yield from (run.info.run_id for run in found)
        page = found.token
        if not page:
            return
