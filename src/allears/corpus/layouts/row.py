"""What a layout reader yields: rows, and lines that it cannot use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One clip as its corpus describes it. `name` is the corpus's own id of it; `path` is posix, below the source's
    folder (absolute where the corpus says so). `member`: the recording inside that file, by its name in a tar or as
    `row group:row` of a parquet file's column `audio` (else `column:row group:row`). Without `start_s` and `end_s` it
    is the whole file; `end_s` −1: to the end. `end_s` without `start_s` is a duration: it is the whole file, or its
    beginning where the file is clearly longer. `channel` counts from 0; `side`: as in `layouts.sides`. Unknown is None,
    and nothing is inferred.
    """

    name: str
    path: str
    member: str | None = None
    side: str | None = None
    channel: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    text: str | None = None
    label: str | None = None
    language: str | None = None
    accent: str | None = None
    gender: str | None = None
    age: str | None = None
    speaker: str | None = None
    session: str | None = None
    licence: str | None = None
    split: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A line or file that cannot become a row, with a reason code and a sentence."""

    name: str
    path: str
    reason: str
    message: str


Rows = Iterator[Row | Reject]
