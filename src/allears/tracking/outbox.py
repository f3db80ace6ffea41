"""The outbox of one `kedro run`: an append-only file of operations, and a lock that says whether its writer lives.

`data/.tracking/<time>-<id>/` holds `ops.jsonl` (operations, in order), `files/` (copies of the artifacts, so that what
is sent later is what was logged), `lock`, `state.json` (how far the sender came), and `aside.json` where MLflow took it
from none of several commands: no command tries it again until that file is deleted.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from allears.errors import LockedError, StorageError
from allears.storage.files import read_json, storage_error, write_json
from allears.storage.lock import locked

Status = Literal["FINISHED", "FAILED", "KILLED"]
OPS, FILES, LOCK, STATE, ASIDE = "ops.jsonl", "files", "lock", "state.json", "aside.json"
log = logging.getLogger("allears.tracking")
DIGEST_CHARACTERS = 32  # of a dataset: MLflow allows 36; the whole digest is in its source
KEPT = 50  # sent outboxes that stay for `allears status`


class Outbox:
    """Appends operations to a new folder below `root`; thread-safe. Raises StorageError when it cannot be written."""

    def __init__(self, root: Path, uid: str) -> None:
        self.folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{uid[:8]}"
        self._mutex = threading.Lock()
        self._held = ExitStack()
        self._held.enter_context(locked(self.folder / LOCK, "writes what MLflow is told"))
        try:
            self._file = self._held.enter_context((self.folder / OPS).open("a", encoding="utf-8"))
        except OSError as error:
            raise storage_error(self.folder / OPS, error) from error

    def append(self, op: str, run: str, **fields: Any) -> None:
        """Write one operation of `run`; it is in the file when this returns."""
        line = json.dumps({"op": op, "run": run, "t": time.time(), **fields}, default=str, ensure_ascii=False)
        with self._mutex:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as error:
                raise storage_error(self.folder / OPS, error) from error

    def keep(self, path: Path, name: str) -> str:
        """Copy a file into the outbox under `name` (a relative path); returns it relative to the outbox."""
        target = self.folder / FILES / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        except OSError as error:
            raise storage_error(target, error) from error
        return f"{FILES}/{name}"

    def close(self) -> None:
        """Let go of the lock: the writer has ended."""
        self._held.close()


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run as its outbox tells it. `status` is RUNNING, FINISHED, FAILED or KILLED; `sent`: MLflow has it all;
    `aside`: why it is not sent any more.
    """

    folder: Path
    name: str
    corpus: str
    started_unix_s: float
    status: str
    sent: bool
    aside: str | None = None


def read_ops(folder: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Complete operations from byte `offset` on, each with the offset behind it; half a last line is left alone."""
    path = folder / OPS
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                op = json.loads(line)
            except ValueError:  # a line that a full disk cut short and a later one completed
                continue
            if isinstance(op, dict):
                yield op, offset


def boxes(root: Path) -> list[Path]:
    """All outboxes, oldest first."""
    return sorted(path.parent for path in root.glob(f"*/{OPS}"))


def is_sent(folder: Path) -> bool:
    """Whether MLflow has everything of an ended run."""
    state = folder / STATE
    return state.exists() and bool(read_json(state).get("done"))


def set_aside(folder: Path, why: str) -> None:
    """Let no command send this outbox any more: what it holds stays, and so does the reason."""
    write_json(folder / ASIDE, {"why": why, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    log.warning(
        "Run %s is set aside: MLflow takes it from no command (%s). What it logged stays in %s; to have it tried "
        "again, delete %s", folder.name, why, folder, folder / ASIDE,
    )  # fmt: skip


def why_aside(folder: Path) -> str | None:
    """Return why an outbox was set aside, if it was."""
    return str(read_json(folder / ASIDE)["why"]) if (folder / ASIDE).exists() else None


def recover(root: Path) -> list[Path]:
    """End the runs whose process died: their outboxes get KILLED. Returns the outboxes with something left to send."""
    left = []
    for folder in boxes(root):
        if (folder / ASIDE).exists():
            continue
        try:
            if is_sent(folder):
                continue
            with locked(folder / LOCK, "ends a run that died"):
                _end_dead(folder)
        except LockedError:
            continue  # its writer lives and sends it
        except (StorageError, KeyError, TypeError, AttributeError) as error:  # its files are not what was written
            set_aside(folder, f"it is damaged: {error}")
            continue
        left.append(folder)
    _prune(root)
    return left


def recent_runs(root: Path, count: int) -> list[RunInfo]:
    """The last runs, newest first."""
    infos = []
    for folder in reversed(boxes(root)):
        ops = [op for op, _ in read_ops(folder)]
        start = next((op for op in ops if op["op"] == "start"), None)
        if start is None:
            continue
        ends = [op["status"] for op in ops if op["op"] == "end" and op["run"] == start["run"]]
        corpus = str(start.get("tags", {}).get("corpus", ""))
        status = ends[-1] if ends else "RUNNING"
        aside = why_aside(folder)
        sent = aside is None and is_sent(folder)
        infos.append(RunInfo(folder, str(start["name"]), corpus, float(start["t"]), status, sent, aside))
        if len(infos) == count:
            break
    return infos


def _end_dead(folder: Path) -> None:
    """Append what the dead writer could not: where its trainings' events end, and KILLED for every open run."""
    open_runs: dict[str, Path | None] = {}
    offset = 0
    for op, behind in read_ops(folder):
        offset = behind
        if op["op"] == "start":
            open_runs[op["run"]] = None
        elif op["op"] == "follow":
            open_runs[op["run"]] = Path(op["path"])
        elif op["op"] == "end":
            open_runs.pop(op["run"], None)
    if not open_runs:
        return
    now = time.time()
    lines = []
    for run, events in reversed(open_runs.items()):
        if events is not None:
            until = events.stat().st_size if events.exists() else 0
            lines.append({"op": "unfollow", "run": run, "t": now, "until": until})
        lines.append({"op": "end", "run": run, "t": now, "status": "KILLED"})
    with (folder / OPS).open("r+b") as file:
        file.truncate(offset)  # half a line that the kill left
        file.seek(offset)
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def _prune(root: Path) -> None:
    for folder in [box for box in boxes(root) if not (box / ASIDE).exists() and is_sent(box)][:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
