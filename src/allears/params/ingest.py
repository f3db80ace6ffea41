"""Parameters of `ingest`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from allears.params.base import Params
from allears.params.corpus import BY_NAME, ColumnNames, Layout

ChannelChoice = Literal["auto", "mix", "split"]


class SampleParams(Params):
    """The embedded sample corpus."""

    speakers: int = Field(default=66, ge=12, le=400)
    minutes: float = Field(default=45.0, ge=2.0, le=600.0)
    seed: int = Field(default=0, ge=0)


class SplitParams(Params):
    """Carving of splits where a corpus has none: shares of the groups (speakers, sessions or recordings) of each
    source and language. Speakers who share a recording go together, and those who share a session, unless these are
    more than the larger share of all.
    """

    dev: float = Field(default=0.1, gt=0.0, lt=0.5)
    test: float = Field(default=0.2, gt=0.0, lt=0.5)
    seed: int = 0


class IngestParams(Params):
    """`ingest`: from folders to a manifest. The first five are remembered with the corpus once they were given."""

    path: str | None = None
    layout: Layout | None = None
    licence: str | None = None
    label: str | None = None
    columns: ColumnNames = BY_NAME
    limit: int | None = Field(default=None, ge=1)
    segment: Literal["fixed", "vad", "none"] = "fixed"
    channels: ChannelChoice = "auto"
    segment_max_s: float = Field(default=30.0, ge=4.0, le=600.0)
    min_duration_s: float = Field(default=0.1, gt=0.0)
    max_quarantine_share: float = Field(default=0.3, ge=0.0, le=1.0)
    splits: SplitParams = SplitParams()
    sample: SampleParams = SampleParams()
    workers: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _pieces_are_long_enough(self) -> Self:
        if self.min_duration_s * 2 > self.segment_max_s:
            message = f"ingest.min_duration_s ({self.min_duration_s}) must be at most half of ingest.segment_max_s"
            raise ValueError(message)
        return self
