"""The table of measures: every clip of a manifest decoded once, in worker processes, with a journal."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from allears.audio.measures import MeasureSpec
from allears.audit.clip import measure_clips, work_key
from allears.audit.measures import names_of
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, fetch_clips
from allears.engine.mapping import Outcome, map_batches

NUMBERS = names_of("audio")
TEXTS = ("pcm_sha256", "fingerprint", "failed_reason", "failed_message")
COLUMNS = ("clip", *NUMBERS, *TEXTS)


def measure_all(
    refs: list[ClipRef], spec: MeasureSpec, journal: Path, *, timeout_s: float, workers: int | None
) -> pd.DataFrame:
    """One row a clip, in the order of `refs`, with COLUMNS; clips in the journal are not decoded again."""
    outcomes = map_batches(
        partial(measure_clips, spec=spec),
        refs,
        key=partial(work_key, spec=spec),
        journal=journal,
        title="measuring clips",
        batches=batches,
        workers=workers,
        timeout_s=timeout_s,
        prepare=fetch_clips,
    )
    return to_table(outcomes)


def to_table(outcomes: Iterable[Outcome[ClipRef]]) -> pd.DataFrame:
    """The table of measures: float64 numbers (NaN: the clip gives none), strings else."""
    rows = []
    for outcome in outcomes:
        row = {"clip": outcome.item.clip} | (outcome.result or {})
        rows.append(row | {"failed_reason": outcome.reason, "failed_message": outcome.message})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    types = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(("clip", *TEXTS), "string")
    return table.astype(types)
