"""A handle on the shards of a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """The handle again."""
        return cls(
            Path(value["folder"]),
            str(value["digest"]),
            int(value["clips"]),
            float(value["seconds"]),
            int(value["sample_rate_hz"]),
        )
