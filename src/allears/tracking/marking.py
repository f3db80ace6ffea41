"""Mark in MLflow what had used withdrawn data, and empty the pages that may show it. Doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from allears.tracking.outbox import DIGEST_CHARACTERS
from allears.tracking.run import MODEL_DIGEST_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "allears.withdrawn"
EMPTIED = "<p>Clips that this page may have shown were withdrawn from the corpus. A new run writes it again.</p>\n"


def mark_withdrawn(client: MlflowClient, experiment: str, op: dict[str, Any]) -> None:
    """Tag runs whose datasets held withdrawn clips, runs nested in them, and registered models that had heard any."""
    counts: dict[str, int] = {}
    for digest, count in op["datasets"].items():
        for run in _runs(client, experiment, f"dataset.digest = '{digest[:DIGEST_CHARACTERS]}'"):
            counts[run] = max(count, counts.get(run, 0))
    for run, count in counts.items():
        for each in (run, *_runs(client, experiment, f"tags.mlflow.parentRunId = '{run}'")):
            client.set_tag(each, TAG, str(count))
        for page in client.list_artifacts(run, "pages"):
            client.log_text(run, EMPTIED, page.path)
    for model in op["models"]:
        for version in client.search_model_versions(f"name = '{model['name']}'"):
            if version.tags.get(MODEL_DIGEST_TAG) == model["digest"]:
                client.set_model_version_tag(model["name"], version.version, TAG, str(model["clips"]))


def _runs(client: MlflowClient, experiment: str, wanted: str) -> Iterator[str]:
    page = None
    while True:
        found = client.search_runs([experiment], wanted, page_token=page)
        yield from (run.info.run_id for run in found)
        page = found.token
        if not page:
            return
