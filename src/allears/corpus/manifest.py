"""The manifest: one row a clip (file, channel, start, end), passed as a handle on its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from allears.corpus.clips import ClipRef
from allears.storage.digest import value_digest

COLUMNS: tuple[str, ...] = (  # the schema, `schema.py`, says what each must hold
    "clip", "source", "root", "path", "member", "channel", "start_s", "end_s", "file_sha256", "file_bytes", "codec",
    "sample_rate_hz", "channels", "file_duration_s", "text", "label", "language", "accent", "gender", "age",
    "speaker", "session", "attributes", "licence", "split", "split_origin", "group",
)  # fmt: skip
PLACES: tuple[str, ...] = ("delivery", "place_s", "listed_as")  # what `deliveries.join` adds
REF_COLUMNS = (
    "clip", "root", "path", "member", "file_sha256", "file_bytes", "channel", "start_s", "end_s", "file_duration_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gaps:
    """Seconds of the recordings that are in no clip: between the pieces, and in pieces that were withdrawn."""

    pauses_s: float = 0.0
    withdrawn_s: float = 0.0

    def __add__(self, other: Gaps) -> Gaps:
        return Gaps(self.pauses_s + other.pauses_s, self.withdrawn_s + other.withdrawn_s)


NO_GAPS = Gaps()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A handle on the parts of a manifest: parquet files that together hold one row a clip.

    `deliveries` are the seconds of each delivery as it came, what has left since included; `parent` is the digest of
    the version before; `gaps` with the seconds of the clips are those of the rows that were listed and used.
    """

    folder: Path
    parts: tuple[str, ...]
    rows: int
    digest: str
    deliveries: tuple[float, ...] = ()
    parent: str | None = None
    gaps: Gaps = NO_GAPS

    def iter_parts(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The parts, one table at a time."""
        for name in self.parts:
            yield pd.read_parquet(self.folder / name, columns=list(columns) if columns else None)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows in one table: for corpora that fit into memory."""
        frames = list(self.iter_parts(columns))
        return pd.concat(frames, ignore_index=True) if frames else empty()[list(columns or (*COLUMNS, *PLACES))]

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores of the handle."""
        return {
            "folder": str(self.folder), "parts": list(self.parts), "rows": self.rows, "digest": self.digest,
            "deliveries": list(self.deliveries), "parent": self.parent, "gaps": asdict(self.gaps),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Manifest:
        """The handle again."""
        return cls(
            Path(value["folder"]), tuple(value["parts"]), int(value["rows"]), str(value["digest"]),
            tuple(value.get("deliveries", ())), value.get("parent"), Gaps(**value.get("gaps", {})),
        )  # fmt: skip


def clip_refs(manifest: pd.DataFrame) -> list[ClipRef]:
    """Where the audio of each row is, in order."""
    refs = []
    rows = manifest[list(REF_COLUMNS)].itertuples(index=False, name=None)
    for clip, root, path, member, sha, size, channel, start, end, duration in rows:
        within = None if pd.isna(member) else str(member)
        one = None if pd.isna(channel) else int(channel)
        bytes_ = None if pd.isna(size) else int(size)
        stop = None if end >= duration - 1e-6 else float(end)  # else it goes to the end
        refs.append(ClipRef(clip, str(Path(root) / path), sha, one, float(start), stop, within, bytes_))
    return refs


class ManifestValidator:
    """Kedro's `validator:` for the handle: checks it part by part, so memory does not grow with the corpus."""

    def validate(self, data: Manifest) -> Manifest:
        """Return `data` unchanged, or raise pandera's SchemaErrors with the rows that break the schema."""
        from allears.corpus.schema import SCHEMA

        for part in data.iter_parts():
            SCHEMA.validate(part, lazy=True)
        return data


def empty() -> pd.DataFrame:
    """A manifest without rows, with every column and type."""
    from allears.corpus.schema import SCHEMA

    table: pd.DataFrame = SCHEMA.validate(pd.DataFrame({name: [] for name in COLUMNS}))
    return table


def parts_digest(frames: Iterable[str]) -> str:
    """The manifest's digest from its parts' table digests, in order."""
    return value_digest(list(frames))
