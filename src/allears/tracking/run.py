"""One tracked run: what it logs is appended to its outbox."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allears.storage.portable import portable
from allears.tracking.flatten import flatten
from allears.tracking.outbox import Outbox, Status

if TYPE_CHECKING:
    import pandas as pd

MODEL_DIGEST_TAG = "allears.export"
ENCODER_MODEL = "allears-encoder"  # the first part of a registered encoder's name; its corpus is the other
SHARED = ("corpus",)  # tags that nested runs have, too


class TrackedRun:
    """A run in an outbox, or a run nested in another (`parent`)."""

    def __init__(
        self, box: Outbox, uid: str, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
    ) -> None:
        self.box = box
        self.uid = uid
        self._inputs: dict[tuple[str, str], dict[str, Any]] = {}
        self._tables: list[str] = []
        self._shared = {name: tags[name] for name in SHARED if name in tags}
        box.append("start", uid, name=name, tags=dict(tags), parent=parent.uid if parent else None)

    def child(self, name: str) -> TrackedRun:
        """A nested run, with the tags that say whose it is and the datasets that were noted so far."""
        run = TrackedRun(self.box, uuid.uuid4().hex, name, self._shared, self)
        for (dataset, digest), profile in self._inputs.items():
            run._note(dataset, digest, profile)
        return run

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters: nested mappings and models become `a.b.c`."""
        self.box.append("params", self.uid, values=flatten(values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers at a step."""
        self.box.append("metrics", self.uid, values=dict(values), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """Text about the run."""
        self.box.append("tags", self.uid, values=dict(values))

    def dataset(self, name: str, digest: str, *, rows: int, hours: float, size_bytes: int) -> None:
        """A dataset that the run used: its digest is its version. The same one is noted once."""
        if (name, digest) not in self._inputs:
            self._note(name, digest, {"rows": rows, "hours": round(hours, 4), "bytes": size_bytes})

    def _note(self, name: str, digest: str, profile: dict[str, Any]) -> None:
        self._inputs[name, digest] = profile
        self.box.append("dataset", self.uid, name=name, digest=digest, profile=profile)

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file, as it is now."""
        name = f"{folder}/{path.name}" if folder else path.name
        self.box.append("artifact", self.uid, path=self.box.keep(path, f"{self.uid[:8]}/{name}"), folder=folder)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """A table that the MLflow UI shows."""
        target = self.box.folder / "files" / self.uid[:8] / "tables" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(frame.to_json(orient="split", index=False))
        self.box.append("artifact", self.uid, path=str(target.relative_to(self.box.folder)), folder="tables")
        self._tables.append(f"tables/{name}.json")
        shown = [{"path": path, "type": "table"} for path in dict.fromkeys(self._tables)]
        self.tags({"mlflow.loggedArtifacts": json.dumps(shown)})

    def model(self, name: str, folder: Path, digest: str) -> None:
        """An export folder, to be registered as `name`; the same digest is registered once."""
        self.box.append("model", self.uid, name=name, path=str(portable(folder)), digest=digest)

    def withdrawn(
        self, datasets: Mapping[str, int], models: Sequence[Mapping[str, Any]], removed: Sequence[str] = ()
    ) -> None:
        """Clips that were withdrawn from data and models: every run that used a dataset of one of these digests is
        tagged with its count, and so are registered models (`name`, `digest` of the export, `clips`). Of what used the
        `removed` datasets (digests) nobody can tell, and it is tagged so.
        """
        known = [dict(model) for model in models]
        self.box.append("withdrawn", self.uid, datasets=dict(datasets), models=known, removed=list(removed))

    def follow(self, events: Path) -> None:
        """Forward what a training appends to its `events.jsonl`, from its first line on."""
        self.box.append("follow", self.uid, path=str(portable(events)))

    def unfollow(self, events: Path) -> None:
        """Forward no further than the events that are there now."""
        self.box.append("unfollow", self.uid, until=events.stat().st_size if events.exists() else 0)

    def end(self, status: Status) -> None:
        """The run is over."""
        self.box.append("end", self.uid, status=status)
