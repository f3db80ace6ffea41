"""The manifest: one row a clip (file, channel, start, end), one pandera schema, passed as a handle on its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from allears.storage.digest import value_digest
from allears.types import SPLITS

_text = pa.Column("string", nullable=True)
_required = pa.Column("string", nullable=False)

SCHEMA = pa.DataFrameSchema(
    {
        # which audio
        "clip": pa.Column("string", pa.Check.str_matches(r"^[A-Za-z0-9_-]{1,80}$"), unique=True),
        "source": _required,  # name of the source within the corpus
        "root": _required,  # absolute folder of the source
        "path": _required,  # posix path below root
        "channel": pa.Column("Int64", pa.Check.ge(0), nullable=True),  # null: mix all channels
        "start_s": pa.Column("float64", pa.Check.ge(0)),
        "end_s": pa.Column("float64", pa.Check.gt(0)),  # declared; the audit measures the real one
        "file_sha256": pa.Column("string", pa.Check.str_length(64, 64)),
        "file_bytes": pa.Column("int64", pa.Check.gt(0)),
        "codec": _required,
        "sample_rate_hz": pa.Column("int64", pa.Check.gt(0)),
        "channels": pa.Column("int64", pa.Check.gt(0)),
        "file_duration_s": pa.Column("float64", pa.Check.gt(0)),  # declared by the header
        # what is known of it; unknown is null, and nothing is inferred
        "text": _text,
        "label": _text,
        "language": _text,
        "accent": _text,
        "gender": _text,
        "age": _text,
        "speaker": _text,
        "session": _text,
        "attributes": _text,  # every other column of the corpus, as a JSON object
        "licence": _required,  # SPDX, LicenseRef-… or 'unknown'
        "split": pa.Column("string", pa.Check.isin(SPLITS)),
        "split_origin": pa.Column("string", pa.Check.isin(["given", "carved"])),
        "group": _required,  # what splits and intervals cluster by: speaker, else session, else recording
    },
    strict=True,
    ordered=True,
    coerce=True,
)
COLUMNS: tuple[str, ...] = tuple(SCHEMA.columns)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A handle on the parts of a manifest: parquet files that together hold one row a clip."""

    folder: Path
    parts: tuple[str, ...]
    rows: int
    digest: str

    def iter_parts(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The parts, one table at a time."""
        for name in self.parts:
            yield pd.read_parquet(self.folder / name, columns=list(columns) if columns else None)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows in one table: for corpora that fit into memory."""
        frames = list(self.iter_parts(columns))
        return pd.concat(frames, ignore_index=True) if frames else empty()[list(columns or COLUMNS)]

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores of the handle."""
        return {"folder": str(self.folder), "parts": list(self.parts), "rows": self.rows, "digest": self.digest}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Manifest:
        """The handle again."""
        return cls(Path(value["folder"]), tuple(value["parts"]), int(value["rows"]), str(value["digest"]))


class ManifestValidator:
    """Kedro's `validator:` for the handle: checks it part by part, so memory does not grow with the corpus."""

    def validate(self, data: Manifest) -> Manifest:
        """Return `data` unchanged, or raise pandera's SchemaErrors with the rows that break the schema."""
        for part in data.iter_parts():
            SCHEMA.validate(part, lazy=True)
        return data


def empty() -> pd.DataFrame:
    """A manifest without rows, with every column and type."""
    table: pd.DataFrame = SCHEMA.validate(pd.DataFrame({name: [] for name in COLUMNS}))
    return table


def parts_digest(frames: Iterable[str]) -> str:
    """The manifest's digest from its parts' table digests, in order."""
    return value_digest(list(frames))
