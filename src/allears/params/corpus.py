"""What is remembered of a corpus: its sources and its label column (`data/01_raw/<corpus>/corpus.json`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from allears.params.base import Params

Layout = Literal[
    "librispeech", "common_voice", "fleurs", "mls", "voxpopuli", "gigaspeech", "kaldi", "nemo", "lhotse", "audiofolder",
    "huggingface", "webdataset", "folder_per_label", "plain",
]  # fmt: skip
SAMPLE = "sample"


class SourceSettings(Params):
    """One folder of recordings. `licence` is for every clip that names none of its own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    path: str
    layout: Layout | None = None
    licence: str


class CorpusSettings(Params):
    """A corpus: one or more sources that are trained on together."""

    corpus: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    label: str | None = None
