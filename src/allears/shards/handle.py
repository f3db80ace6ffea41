"""A handle on the shards of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.errors import StaleError
from allears.storage.digest import value_digest
from allears.storage.files import read_json

INDEX = "index.parquet"


@dataclass(frozen=True, slots=True)
class ShardSet:
    """The tars and the index in `folder`; `digest` names their content (keys, audio, order)."""

    folder: Path
    digest: str
    clips: int
    seconds: float
    sample_rate_hz: int

    @property
    def index_path(self) -> Path:
        """The sidecar index."""
        return self.folder / INDEX

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores of the handle."""
        return {
            "folder": str(self.folder),
            "digest": self.digest,
            "clips": self.clips,
            "seconds": self.seconds,
            "sample_rate_hz": self.sample_rate_hz,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShardSet:
        """The handle again. StaleError when there is none yet."""
        if not value:
            raise StaleError("this corpus has no shards yet: run the shard pipeline, then this one")
        return cls(
            Path(value["folder"]),
            str(value["digest"]),
            int(value["clips"]),
            float(value["seconds"]),
            int(value["sample_rate_hz"]),
        )


def stored_shards(folder: Path) -> ShardSet | None:
    """The shards whose handle lies in the folder of a corpus's shards, if it has any."""
    handle = folder / "shards.json"
    return ShardSet.from_json(read_json(handle)) if handle.exists() else None


def made_from(manifest_digest: str, left_out: Iterable[str]) -> str:
    """Names what shards are made from: a manifest, and the clips with a hard verdict."""
    return value_digest({"manifest": manifest_digest, "left_out": sorted(left_out)})


def is_made_from(handle: Mapping[str, Any], manifest_digest: str, verdicts: Path) -> bool:
    """Whether the shards of a stored handle are of this manifest, without the clips that have a hard verdict now."""
    import pyarrow.parquet as pq

    table = pq.read_table(verdicts, columns=["clip", "verdict"]).to_pydict()
    hard = [clip for clip, verdict in zip(table["clip"], table["verdict"], strict=True) if verdict == "hard"]
    return bool(handle.get("made_from") == made_from(manifest_digest, hard))


def is_selected(selection: Path, clips: Path) -> bool:
    """Return whether the table of clips, which training reads, keeps and weighs what the audit's selection does."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    now, then = (pq.read_table(file, columns=["clip", "keep", "weight"]) for file in (selection, clips))
    now = now.take(pc.index_in(then["clip"], value_set=now["clip"]))  # null where a clip has left the selection
    same = (pc.equal(now[column], then[column]).fill_null(fill_value=False) for column in ("keep", "weight"))
    return all(pc.all(column, min_count=0).as_py() for column in same)
