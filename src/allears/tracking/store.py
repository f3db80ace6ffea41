"""The store that runs are sent to: the project's own SQLite file, or whatever MLFLOW_TRACKING_URI names.

MLflow makes the places of artifacts absolute when an experiment is created and reads relative ones as they are. In the
project's own database they are kept relative, so that `mlflow ui`, started in the project, shows them after a move.
URIs stay relative as well: they need no quoting, whatever the project's folder is called.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from allears.errors import TrackingError
from allears.storage.portable import portable, portable_text

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

SQLITE = "sqlite:///"
ARTIFACTS = "mlruns"  # beside `mlflow.db`, as MLflow has it
UI = "http://127.0.0.1:5000"  # of a plain `mlflow ui`
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the page of trainings, not that of language models
log = logging.getLogger("allears.tracking")

TRAININGS = "?workflowType=machine_learning"  # without it the page is that of language models
BROKEN = ("readonly", "locked", "full", "malformed", "not a database", "disk I/O", "unable to open")  # SQLite's words
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
BUSY_S = 10.0  # that another process may hold the database


@dataclass(frozen=True, slots=True)
class Store:
    """`uri` is MLflow's (a local one relative to the project's folder), `experiment` a name.

    `artifacts`: where those of a new experiment go; None: where the server wants them.
    """

    uri: str
    experiment: str
    artifacts: str | None = None

    @property
    def database(self) -> Path | None:
        """The SQLite file, if it is one."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) and "?" not in self.uri else None

    def link(self, experiment_id: str, run_id: str) -> str:
        """Return the address of a run's page."""
        server = self.uri.rstrip("/") if self.uri.startswith("http") else UI
        return f"{server}/#/experiments/{experiment_id}/runs/{run_id}{TRAININGS}"


def store_at(uri: str, experiment: str) -> Store:
    """Return the store that a configured URI means, seen from the project's folder, which is the working directory."""
    if not uri.startswith(SQLITE):
        return Store(uri, experiment, ARTIFACTS if uri.startswith("sqlite:") else None)
    if "?" not in uri:
        uri = f"{SQLITE}{portable(uri.removeprefix(SQLITE))}"
    shared = uri.startswith(f"{SQLITE}/")  # a database outside of the project, which others may use too
    return Store(uri, experiment, Path(ARTIFACTS).absolute().as_uri() if shared else ARTIFACTS)


def connect(store: Store) -> tuple[MlflowClient, Experiment]:
    """Return a client and the experiment, created or restored where needed.

    TrackingError for a database file that cannot be used.
    """
    from mlflow.tracking import MlflowClient

    if store.database is not None and store.database.exists():
        _check(store.database)
    client = MlflowClient(tracking_uri=store.uri)
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        made = client.create_experiment(store.experiment, artifact_location=store.artifacts, tags=KIND)
        found = client.get_experiment(made)
    elif found.lifecycle_stage == "deleted":
        log.warning("MLflow's experiment '%s' was deleted: it is restored, as a run belongs into it", store.experiment)
        client.restore_experiment(found.experiment_id)
    for key, value in KIND.items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, value)
    if store.database is not None and not store.database.is_absolute():
        _keep_relative(store.database)
    return client, found


def is_of_store(error: BaseException) -> bool:
    """Return whether the store itself failed (read-only, full, locked, damaged), so that no run is at fault."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, sqlite3.DatabaseError) and any(words in str(each) for words in BROKEN):
            return True
        if isinstance(each, OSError) and each.errno in NO_ROOM:
            return True
        each = each.__cause__ or each.__context__
    return False


def _check(database: Path) -> None:
    """Raise TrackingError for a file that MLflow would try again and again for minutes."""
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.execute("pragma schema_version").fetchone()
            connection.execute("begin immediate")
            connection.execute("rollback")
    except sqlite3.Error as error:
        raise TrackingError(f"{database}, MLflow's database, {_remedy(str(error))}") from error


def _remedy(why: str) -> str:
    match why:
        case text if "readonly" in text or "unable to open" in text:
            return f"cannot be written ({why}): change its permission"
        case text if "not a database" in text or "malformed" in text:
            return (
                f"is damaged ({why}): move it away, and the next command makes a new one with what was not sent yet. "
                "Older runs are lost unless you have a copy of it"
            )
        case text if "locked" in text:
            return f"is held by another process ({why}) for more than {BUSY_S:.0f} s: end it, or wait"
        case _:
            return f"cannot be used ({why}): check the disk"


def _keep_relative(database: Path) -> None:
    """Write places of artifacts below the working directory as relative ones."""
    with closing(sqlite3.connect(database, timeout=BUSY_S)) as connection, connection:
        places = connection.execute("select experiment_id, artifact_location from experiments").fetchall()
        for number, place in places:
            if place and (relative := portable_text(place)) != place:
                connection.execute(
                    "update experiments set artifact_location = ? where experiment_id = ?", (relative, number)
                )
