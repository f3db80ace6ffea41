"""The table of measures: every clip of a manifest decoded once, in worker processes, with a journal."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from allears.audio.measures import MeasureSpec
from allears.audit.clip import measure_clips, work_key
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, fetch_clips
from allears.engine.mapping import Outcome, map_batches

NUMBERS = (
    "decoded_duration_s", "peak", "rms_dbfs", "clipped_share", "dc_offset", "rumble_db", "silence_share", "zero_share",
    "snr_db", "bandwidth_hz", "side_db", "mix_loss_db", "weakest_channel_db", "hum_db", "hum_hz", "speech_share",
    "pause_snr_db",
    "decoded_rate_hz",
)  # fmt: skip
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
