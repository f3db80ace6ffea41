"""What a training says of itself while it runs: lines of JSON in `events.jsonl`, which the parent forwards."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from allears.storage.files import storage_error

NAME = "events.jsonl"
Kind = Literal["start", "params", "metrics", "note", "end"]


class EventLog:
    """Appends to `folder/events.jsonl`; each line is in the file when its call returns.

    `step` counts updates and `hours_heard` audio, both since the weights were new.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
                with self.path.open("a") as log:  # half a line that a kill left
                    log.write("\n")
        except OSError as error:
            raise storage_error(self.path, error) from error

    def start(self, step: int, hours_heard: float, values: Mapping[str, Any]) -> None:
        """The training begins, or goes on, at `step`."""
        self._write("start", step, hours_heard, values)

    def params(self, values: Mapping[str, Any]) -> None:
        """What the training was told."""
        self._write("params", 0, 0.0, values)

    def metrics(self, step: int, hours_heard: float, values: Mapping[str, float]) -> None:
        """Numbers at `step`."""
        self._write("metrics", step, hours_heard, values)

    def note(self, step: int, hours_heard: float, values: Mapping[str, str]) -> None:
        """Words, such as a guard's warning."""
        self._write("note", step, hours_heard, values)

    def end(self, step: int, hours_heard: float, values: Mapping[str, Any]) -> None:
        """The budget is used up."""
        self._write("end", step, hours_heard, values)

    def _write(self, kind: Kind, step: int, hours_heard: float, values: Mapping[str, Any]) -> None:
        line = json.dumps(
            {"t": time.time(), "kind": kind, "step": step, "hours_heard": hours_heard, "values": dict(values)},
            ensure_ascii=False, default=str,
        )  # fmt: skip
        try:
            with self.path.open("a") as log:
                log.write(line + "\n")
        except OSError as error:
            raise storage_error(self.path, error) from error


class SilentLog(EventLog):
    """Of a rank that is not the first: it writes nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def _write(self, kind: Kind, step: int, hours_heard: float, values: Mapping[str, Any]) -> None:
        del kind, step, hours_heard, values


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All whole lines, in order; empty when there is no log."""
    path = folder / NAME
    if not path.exists():
        return []
    events = []
    for line in path.read_text().splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:  # half a line that a kill left
            continue
    return events


def history(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training that was never interrupted: what was done again after a kill is there once."""
    events: list[dict[str, Any]] = []
    for event in read_events(folder):
        if event["kind"] == "start":
            events = [one for one in events if one["step"] <= event["step"]]
        events.append(event)
    return events
