"""Which clips the audit's page plays and lists."""

from __future__ import annotations

from pydantic import Field

from allears.params.base import Params


class ListenParams(Params):
    """How much of the corpus the audit's page lets its reader hear and sort; it never decides about a clip."""

    max_clips: int = Field(default=300, ge=0)
    """Clips to listen to, at most; each takes some 60 kB beside the page."""
    per_reason: int = Field(default=6, ge=1)
    """Of each reason: as many of the worst, of the just flagged and of the just kept; of each kind of copy as many
    pairs."""
    references: int = Field(default=12, ge=0)
    """Kept clips, drawn at random, to compare with."""
    max_s: float = Field(default=12.0, gt=0, le=60)
    """Seconds of each, from its beginning."""
    table_rows: int = Field(default=5000, ge=0, le=20000)
    """Clips in the table to sort and filter: flagged ones first."""
