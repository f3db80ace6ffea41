"""Replays one outbox into MLflow, each operation once, and remembers how far it came.

Runs or experiments that people deleted meanwhile are restored; where they are gone for good, or the database is a new
one, the outbox is replayed from its start. An outbox that MLflow takes from no command is set aside after some.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allears.errors import TrackingError
from allears.storage.files import read_json, write_json
from allears.tracking.flatten import clean, flatten
from allears.tracking.headlines import headlines
from allears.tracking.marking import mark_withdrawn
from allears.tracking.outbox import DIGEST_CHARACTERS, FILES, STATE, read_ops, set_aside
from allears.tracking.store import Store, connect, is_of_store, store_at

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger("allears.tracking")

UID_TAG = "allears.uid"
METRICS_A_BATCH, PARAMS_A_BATCH = 1000, 100  # MLflow's limits
LINES_A_BATCH = 400
ANY_STAGE = 3  # MLflow's ViewType.ALL
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")
MISSING = "RESOURCE_DOES_NOT_EXIST"
MOST_FAILURES = 5  # commands that fail at the same operation, before its outbox is set aside
MOST_REVIVALS = 3  # of runs that somebody deletes while they are sent
SHOWN = 1500  # characters of MLflow's own words: its remedies stand at their end
NEW: dict[str, Any] = {
    "offset": 0, "runs": {}, "follows": {}, "done": False, "uri": None, "failures": {}, "headlines": {},
}  # fmt: skip


class RefusedError(TrackingError):
    """MLflow answers, and does not take this outbox."""


class Sender:
    """Sends what lies in `folder` (an outbox) to a store.

    A run that was begun in another store is finished there. `send` may be called again and again while the outbox
    grows; after an exception it goes on where it was. Not thread-safe.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        state = folder / STATE
        self._state: dict[str, Any] = deepcopy(NEW) | (read_json(state) if state.exists() else {})
        begun = self._state["uri"]
        self.store = store if begun in (None, store.uri) else store_at(str(begun), store.experiment)
        self._client: MlflowClient | None = None
        self._experiment_id = ""
        self._failed = False

    @property
    def done(self) -> bool:
        """Whether the run has ended and everything of it is sent."""
        return bool(self._state["done"])

    def send(self, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Send what is there; True when nothing is left for now.

        TrackingError when the store cannot be used, RefusedError when it takes other outboxes and not this one.
        """
        try:
            self._connected()
        except Exception as error:
            self._client = None
            raise self._store_error(error) from error
        try:
            return self._send(should_stop)
        except Exception as error:  # of whatever kind: the others must not wait for it
            self._client = None
            if is_of_store(error) or _is_unreachable(error):
                raise self._store_error(error) from error
            self._note_failure(_words(error))
            raise RefusedError(
                f"MLflow at {self.store.uri} does not take run {self.folder.name}: {_words(error)}"
            ) from error

    def link(self) -> str | None:
        """Return the address of the command's run, once it is known there."""
        run = next((str(run["id"]) for run in self._state["runs"].values() if run["main"]), None)
        return self.store.link(self._experiment_id, run) if run and self._experiment_id else None

    def _store_error(self, error: Exception) -> TrackingError:
        if isinstance(error, TrackingError):
            return error
        if _is_unreachable(error):
            return TrackingError(f"MLflow at {self.store.uri} cannot be reached")
        return TrackingError(f"MLflow at {self.store.uri} cannot be used: {_words(error)}{_advice(error)}")

    def _note_failure(self, why: str) -> None:
        """Count the commands that failed at the same operation; too many set the outbox aside."""
        if self._failed:
            return
        self._failed = True
        before = self._state["failures"]
        count = before.get("count", 0) + 1 if before.get("offset") == self._state["offset"] else 1
        self._state["failures"] = {"offset": self._state["offset"], "count": count}
        self._save()
        if count >= MOST_FAILURES:
            set_aside(self.folder, why)

    def _send(self, should_stop: Callable[[], bool]) -> bool:
        for _ in range(MOST_REVIVALS):
            try:
                return self._replay(should_stop)
            except _DeletedError:
                self._client = None
                self._connected()
        return self._replay(should_stop)

    def _replay(self, should_stop: Callable[[], bool]) -> bool:
        for op, behind in read_ops(self.folder, self._state["offset"]):
            if should_stop():
                return False
            self._or_skip(op["op"], partial(self._apply, op))
            self._state["offset"] = behind
            self._save()
        return all(not should_stop() and self._forward(run, None) for run in list(self._state["follows"]))

    def _save(self) -> None:
        write_json(self.folder / STATE, self._state)

    def _connected(self) -> MlflowClient:
        if self._client is None:
            client, experiment = connect(self.store)
            self._experiment_id = experiment.experiment_id
            self._revive(client)
            self._client = client
        return self._client

    def _revive(self, client: MlflowClient) -> None:
        """Restore the runs that were deleted; where one is gone for good, begin again."""
        stages = [(run["id"], _stage(client, run["id"])) for run in self._state["runs"].values()]
        if any(stage is None for _, stage in stages):
            log.warning("MLflow at %s has run %s no more: it is sent again", self.store.uri, self.folder.name)
            self._state = deepcopy(NEW) | {"failures": self._state["failures"]}
            self._save()
            return
        for run, stage in stages:
            if stage == "deleted":
                log.warning("MLflow's run %s was deleted before it was sent: it is restored", run)
                client.restore_run(run)

    def _is_deleted(self) -> bool:
        """Return whether somebody has deleted the experiment or a run."""
        client = self._connected()
        if (
            found := client.get_experiment_by_name(self.store.experiment)
        ) is None or found.lifecycle_stage == "deleted":
            return True
        return any(_stage(client, run["id"]) != "active" for run in self._state["runs"].values())

    def _or_skip(self, what: str, call: Callable[[], None]) -> None:
        """Leave out what MLflow refuses for good: it must not keep the rest from being sent."""
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code not in (*REFUSED, MISSING):
                raise
            if self._is_deleted():
                raise _DeletedError from error
            if error.error_code == MISSING:
                raise
            log.warning("MLflow refuses %s of a run: %s", what, _words(error))

    def _apply(self, op: dict[str, Any]) -> None:
        match op["op"]:
            case "start":
                self._start(op)
            case "params" | "metrics" | "tags":
                self._values(op)
            case "dataset":
                self._dataset(op)
            case "artifact":
                self._artifact(op)
            case "model":
                self._model(op)
            case "withdrawn":
                mark_withdrawn(self._connected(), self._experiment_id, op)
            case "follow" | "unfollow":
                self._follow(op)
            case "end":
                self._end(op)

    def _values(self, op: dict[str, Any]) -> None:
        match op["op"]:
            case "params":
                self._params(op["run"], op["values"])
            case "metrics":
                self._metrics(op["run"], [(op["values"], op["step"], op["t"])])
            case "tags":
                self._tags(op["run"], op["values"])

    def _id(self, run: str) -> str:
        return str(self._state["runs"][run]["id"])

    def _start(self, op: dict[str, Any]) -> None:
        client = self._connected()
        # A kill between creating a run and noting its id must not create it twice.
        found = client.search_runs([self._experiment_id], f"tags.`{UID_TAG}` = '{op['run']}'", ANY_STAGE, 1)
        if found:
            run = found[0]
            if run.info.lifecycle_stage == "deleted":
                client.restore_run(run.info.run_id)
        else:
            tags = {UID_TAG: op["run"], **op["tags"]}
            if op["parent"]:
                tags["mlflow.parentRunId"] = self._id(op["parent"])
            start = int(op["t"] * 1000)
            run = client.create_run(self._experiment_id, start_time=start, tags=tags, run_name=op["name"])
        self._state["runs"][op["run"]] = {"id": run.info.run_id, "main": op["parent"] is None}
        self._state["uri"] = self.store.uri

    def _artifact(self, op: dict[str, Any]) -> None:
        file = self.folder / op["path"]
        if file.exists():
            self._connected().log_artifact(self._id(op["run"]), str(file), op["folder"] or None)
        else:
            log.warning("%s of run %s is gone from its outbox and cannot be sent", file.name, self.folder.name)

    def _params(self, run: str, values: dict[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items()]
        for i in range(0, len(params), PARAMS_A_BATCH):
            self._connected().log_batch(self._id(run), params=params[i : i + PARAMS_A_BATCH])

    def _metrics(self, run: str, rows: list[tuple[dict[str, float], int, float]]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(clean(key), float(value), int(t * 1000), int(step))
            for values, step, t in rows
            for key, value in headlines(values, self._state["headlines"].setdefault(run, [])).items()
            if isinstance(value, (int, float))
        ]
        for i in range(0, len(metrics), METRICS_A_BATCH):
            self._connected().log_batch(self._id(run), metrics=metrics[i : i + METRICS_A_BATCH])

    def _tags(self, run: str, values: dict[str, str]) -> None:
        for key, value in values.items():
            self._connected().set_tag(self._id(run), clean(key), value)

    def _dataset(self, op: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=op["name"],
            digest=op["digest"][:DIGEST_CHARACTERS],
            source_type="allears",
            source=json.dumps({"name": op["name"], "sha256": op["digest"]}),
            profile=json.dumps(op["profile"]),
        )
        tags = [InputTag("mlflow.data.context", "training")]
        self._connected().log_inputs(self._id(op["run"]), [DatasetInput(dataset, tags)])

    def _model(self, op: dict[str, Any]) -> None:
        from allears.tracking.registry import register

        version = register(self._connected(), self._id(op["run"]), op["name"], Path(op["path"]), op["digest"])
        self._tags(op["run"], {"registered_model": f"{op['name']}/{version}" if version else "export is gone"})

    def _follow(self, op: dict[str, Any]) -> None:
        if op["op"] == "follow":
            self._state["follows"][op["run"]] = {"path": op["path"], "offset": 0}
            return
        while not self._forward(op["run"], int(op["until"])):
            pass
        self._state["follows"].pop(op["run"], None)

    def _end(self, op: dict[str, Any]) -> None:
        self._connected().set_terminated(self._id(op["run"]), op["status"], int(op["t"] * 1000))
        if self._state["runs"][op["run"]]["main"]:
            self._state["done"] = True
            shutil.rmtree(self.folder / FILES, ignore_errors=True)

    def _forward(self, run: str, until: int | None) -> bool:
        """Send one batch of a training's events; True when all (up to byte `until`) are sent."""
        follow = self._state["follows"].get(run)
        if follow is None or not Path(follow["path"]).exists():
            return True
        lines = _read_lines(Path(follow["path"]), follow["offset"], until)
        if not lines:
            return True
        rows: list[tuple[dict[str, float], int, float]] = []
        for line, _ in lines:
            event = _event(line)
            values = event.get("values") or {}
            match event.get("kind"):
                case "metrics":
                    heard = {"hours_heard": event["hours_heard"]} if event.get("hours_heard") is not None else {}
                    rows.append(({**values, **heard}, event.get("step", 0), event.get("t", 0.0)))
                case "params":
                    self._or_skip("params", partial(self._params, run, flatten(values)))
                case "note":
                    notes = {f"note.{key}": str(value) for key, value in values.items()}
                    self._or_skip("note", partial(self._tags, run, notes))
        if rows:
            self._or_skip("metrics", partial(self._metrics, run, rows))
        follow["offset"] = lines[-1][1]
        self._save()
        return False


class _DeletedError(Exception):
    """Somebody deleted the experiment or a run."""


def _stage(client: MlflowClient, run: str) -> str | None:
    """Return `active` or `deleted`; None for a run that is not there."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run).info.lifecycle_stage)
    except MlflowException as error:
        if error.error_code != MISSING:
            raise
        return None


def _is_unreachable(error: Exception) -> bool:
    return "Max retries exceeded" in str(error) or isinstance(error, ConnectionError)


def _words(error: Exception) -> str:
    """Return what an error says in one line, with its kind unless it is MLflow's own."""
    from mlflow.exceptions import MlflowException

    text = " ".join(str(error).split())
    text = text if isinstance(error, MlflowException) else f"{type(error).__name__}: {text}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def _advice(error: Exception) -> str:
    """Return what to do about a folder of files, which MLflow 3 refuses."""
    if "filesystem tracking backend" not in str(error):
        return ""
    return (
        " In allears: unset MLFLOW_TRACKING_URI, and runs go to mlflow.db in the project's folder; or set it to "
        "sqlite:////absolute/path/mlflow.db or to the address of a server"
    )


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:  # cut short by a kill, completed by the next attempt's first line
        return {}
    return event if isinstance(event, dict) else {}


def _read_lines(path: Path, offset: int, until: int | None) -> list[tuple[bytes, int]]:
    """Up to LINES_A_BATCH complete lines from `offset` on, each with the offset behind it."""
    lines: list[tuple[bytes, int]] = []
    with path.open("rb") as file:
        file.seek(offset)
        while len(lines) < LINES_A_BATCH and (until is None or offset < until):
            line = file.readline()
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            lines.append((line, offset))
    return lines
