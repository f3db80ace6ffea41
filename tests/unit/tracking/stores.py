"""MLflow stores of their own for tests: copies of one SQLite file, as MLflow takes seconds to make one."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from mlflow.tracking import MlflowClient

from allears.tracking.store import Store, connect


@cache
def template() -> Path:
    """Return a database with the experiment `allears` and nothing in it."""
    folder = Path(mkdtemp(prefix="allears-mlflow-"))
    connect(Store(f"sqlite:///{folder}/mlflow.db", "allears", (folder / "mlruns").as_uri()))
    return folder / "mlflow.db"


def new_store(folder: Path) -> Store:
    """Return a store in `folder`, whose artifacts lie in its `mlruns`; an empty one takes the place of an old one."""
    shutil.copyfile(template(), folder / "mlflow.db")
    return Store(f"sqlite:///{folder}/mlflow.db", "allears", (folder / "mlruns").as_uri())


def client_of(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


def run_names(store: Store) -> dict[str, str]:
    """Return the names of the runs that are not deleted, with their status."""
    client = client_of(store)
    found = client.search_runs([client.get_experiment_by_name(store.experiment).experiment_id])
    return {str(run.info.run_name): run.info.status for run in found}
