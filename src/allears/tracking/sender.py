"""Replays one outbox into MLflow, each operation once, and remembers how far it came."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allears.errors import TrackingError
from allears.storage.files import read_json, write_json
from allears.tracking.flatten import clean, flatten
from allears.tracking.marking import mark_withdrawn
from allears.tracking.outbox import DIGEST_CHARACTERS, FILES, STATE, read_ops

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger("allears.tracking")

UID_TAG = "allears.uid"
METRICS_A_BATCH, PARAMS_A_BATCH = 1000, 100  # MLflow's limits
LINES_A_BATCH = 400
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")


class Sender:
    """Sends what lies in `folder` (an outbox) to the server at `uri`, into `experiment`.

    A run that was begun on another server is finished there. `send` may be called again and again while the outbox
    grows; after an exception it goes on where it was. Not thread-safe.
    """

    def __init__(self, folder: Path, uri: str, experiment: str, artifacts: str | None) -> None:
        self.folder = folder
        state = folder / STATE
        self._state: dict[str, Any] = read_json(state) if state.exists() else {}
        self._state = {"offset": 0, "runs": {}, "follows": {}, "done": False, "uri": None} | self._state
        self.uri = str(self._state["uri"] or uri)
        self._experiment = experiment
        self._artifacts = artifacts
        self._client: MlflowClient | None = None
        self._experiment_id = ""

    @property
    def done(self) -> bool:
        """Whether the run has ended and everything of it is sent."""
        return bool(self._state["done"])

    def send(self, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Send what is there; True when nothing is left for now. TrackingError when MLflow cannot be reached."""
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            return self._send(should_stop)
        except (MlflowException, RequestException, OSError) as error:
            raise TrackingError(f"MLflow at {self.uri} {_reason(error)}") from error

    def run_id(self) -> str | None:
        """MLflow's id of the command's run, once it is known there."""
        return next((str(run["id"]) for run in self._state["runs"].values() if run["main"]), None)

    def _send(self, should_stop: Callable[[], bool]) -> bool:
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
            from mlflow.tracking import MlflowClient

            client = MlflowClient(tracking_uri=self.uri)
            known = client.get_experiment_by_name(self._experiment)
            if known is None:
                self._experiment_id = client.create_experiment(self._experiment, artifact_location=self._artifacts)
            else:
                self._experiment_id = known.experiment_id
            self._client = client
        return self._client

    def _or_skip(self, what: str, call: Callable[[], None]) -> None:
        """What MLflow refuses for good must not keep the rest from being sent."""
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            log.warning("MLflow refuses %s of a run: %s", what, " ".join(str(error).split())[:200])

    def _apply(self, op: dict[str, Any]) -> None:
        match op["op"]:
            case "start":
                self._start(op)
            case "params" | "metrics" | "tags":
                self._values(op)
            case "dataset":
                self._dataset(op)
            case "artifact":
                self._connected().log_artifact(self._id(op["run"]), str(self.folder / op["path"]), op["folder"] or None)
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
        found = client.search_runs([self._experiment_id], f"tags.`{UID_TAG}` = '{op['run']}'", max_results=1)
        if found:
            run = found[0]
        else:
            tags = {UID_TAG: op["run"], **op["tags"]}
            if op["parent"]:
                tags["mlflow.parentRunId"] = self._id(op["parent"])
            start = int(op["t"] * 1000)
            run = client.create_run(self._experiment_id, start_time=start, tags=tags, run_name=op["name"])
        self._state["runs"][op["run"]] = {"id": run.info.run_id, "main": op["parent"] is None}
        self._state["uri"] = self.uri

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
            for key, value in values.items()
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


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "Max retries exceeded" in text or isinstance(error, ConnectionError):
        return "cannot be reached"
    return f"does not take what it is sent ({text[:160]})"


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
