"""Decode a clip once and take everything from it that the audit needs: measures, PCM digest, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from allears.audio import fingerprint as fp
from allears.audio.decode import DECODERS, decode
from allears.audio.measures import MeasureSpec, measure, spectrum_blocks
from allears.engine.mapping import Outcome, map_items
from allears.storage.digest import value_digest

VERSION = 1
NUMBERS = (
    "decoded_duration_s", "peak", "rms_dbfs", "clipped_share", "dc_offset", "silence_share", "zero_share", "snr_db",
    "bandwidth_hz", "decoded_rate_hz",
)  # fmt: skip
TEXTS = ("pcm_sha256", "fingerprint", "failed_reason", "failed_message")
COLUMNS = ("clip", *NUMBERS, *TEXTS)


class ClipRef(NamedTuple):
    """Where a clip's audio is. `end_s` None: to the end of the file, so that a wrong header is noticed."""

    clip: str
    file: str
    file_sha256: str
    channel: int | None
    start_s: float
    end_s: float | None


def clip_refs(manifest: pd.DataFrame) -> list[ClipRef]:
    """The clips of a manifest as work for `measure_all`."""
    columns = ["clip", "root", "path", "file_sha256", "channel", "start_s", "end_s", "file_duration_s"]
    refs = []
    for clip, root, path, sha, channel, start, end, duration in manifest[columns].itertuples(index=False, name=None):
        one = None if pd.isna(channel) else int(channel)
        to_the_end = end >= duration - 1e-6
        refs.append(ClipRef(clip, f"{root}/{path}", sha, one, float(start), None if to_the_end else float(end)))
    return refs


def work_key(ref: ClipRef, spec: MeasureSpec) -> str:
    """What a clip's measures depend on: its audio, the spec, the code's VERSION and the decoders."""
    audio = [ref.file_sha256, ref.channel, ref.start_s, ref.end_s]
    how = [VERSION, fp.VERSION, DECODERS, spec.clip_level, spec.silence_dbfs, spec.bandwidth_drop_db]
    return value_digest([audio, how])[:32]


def measure_clip(ref: ClipRef, spec: MeasureSpec) -> dict[str, Any]:
    """Measures of one clip as JSON-like values. Raises AudioError when it cannot be decoded or is not audio."""
    audio_T, rate_hz = decode(Path(ref.file), ref.start_s, ref.end_s, ref.channel)
    power_K: np.ndarray[Any, np.dtype[np.float64]] = np.zeros(1)
    energies, frames = [], 0
    for block in spectrum_blocks(audio_T, rate_hz):
        power_K = power_K + block.power_FK.sum(axis=0, dtype=np.float64)
        frames += len(block.power_FK)
        energies.append(fp.band_energies(block.power_FK, block.bin_hz))
    values: dict[str, Any] = dict(measure(audio_T, rate_hz, spec, power_K / frames).to_json())
    pcm = hashlib.sha256(str(rate_hz).encode())
    pcm.update(np.ascontiguousarray(audio_T).data)
    return values | {
        "decoded_rate_hz": float(rate_hz),
        "pcm_sha256": pcm.hexdigest(),
        "fingerprint": fp.fingerprint(np.concatenate(energies)).hex(),
    }


def measure_all(
    refs: list[ClipRef], spec: MeasureSpec, journal: Path, *, timeout_s: float, workers: int | None
) -> pd.DataFrame:
    """One row a clip, in the order of `refs`, with COLUMNS; clips in the journal are not decoded again."""
    outcomes = map_items(
        partial(measure_clip, spec=spec),
        refs,
        key=partial(work_key, spec=spec),
        journal=journal,
        title="measuring clips",
        workers=workers,
        timeout_s=timeout_s,
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
