"""Settings that are remembered with a corpus: its sources and columns (`data/01_raw/<corpus>/corpus.json`)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from allears.params.base import Params

Described = Literal[
    "librispeech", "common_voice", "fleurs", "mls", "voxpopuli", "gigaspeech", "kaldi", "nemo", "lhotse", "audiofolder",
    "huggingface", "webdataset",
]  # fmt: skip
"""Layouts with tables: the only list of their names. `allears.corpus.layouts.NAME` reads each."""
Walked = Literal["folder_per_label", "plain"]
"""Layouts without tables: recordings described by where they lie."""
Layout = Literal[Described, Walked]
SAMPLE = "sample"
CORPUS_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"


def is_name(text: str) -> bool:
    """Return whether `text` is a valid name of a corpus."""
    return re.fullmatch(CORPUS_NAME, text) is not None


class ColumnNames(Params):
    """Columns that hold these fields of a clip under other names; None: found by its name."""

    file: str | None = None
    text: str | None = None
    language: str | None = None
    accent: str | None = None
    gender: str | None = None
    age: str | None = None
    speaker: str | None = None
    session: str | None = None
    licence: str | None = None
    split: str | None = None

    def given(self) -> tuple[tuple[str, str], ...]:
        """Field and column, of those that are named."""
        return tuple((field, column) for field, column in self if column is not None)


BY_NAME = ColumnNames()


class SourceSettings(Params):
    """One folder of recordings. `licence` is for every clip that names none of its own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    path: str
    layout: Layout | None = None
    licence: str


class CorpusSettings(Params):
    """A corpus: one or more sources that are trained on together."""

    corpus: str = Field(pattern=CORPUS_NAME)
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    label: str | None = None
    columns: ColumnNames = BY_NAME
