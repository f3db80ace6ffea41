"""The exhibits' sounds and pictures: made in workers, once for the same audio, stale ones removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from allears.audio.decode import DECODERS, mixed
from allears.audio.excerpt import PICTURE, SOUND, VERSION, write_excerpt
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, decoded_clips, fetch_clips
from allears.engine.mapping import Outcome, forget, map_batches
from allears.errors import AudioError
from allears.storage.digest import value_digest
from allears.storage.files import storage_error

COLUMNS = ("clip", "file", "seconds", "top_hz", "problem")
_FILES = (SOUND, PICTURE)


@dataclass(frozen=True, slots=True)
class Studio:
    """Where excerpts go, where it is noted which are done, and how many seconds each has at most."""

    folder: Path
    journal: Path
    max_s: float


def excerpts(refs: list[ClipRef], studio: Studio, *, timeout_s: float, workers: int | None) -> pd.DataFrame:
    """COLUMNS, one row a clip of `refs`: `file` is the name in `studio.folder` without its ending.

    Null where there is no excerpt; `problem` then says why. All other excerpts in the folder are removed.
    """
    key = partial(work_key, max_s=studio.max_s)
    if lost := {key(ref) for ref in refs if not _is_there(studio.folder / name_of(ref, studio.max_s))}:
        forget(studio.journal, lost)
    outcomes = map_batches(
        partial(make_excerpts, folder=studio.folder, max_s=studio.max_s),
        refs,
        key=key,
        journal=studio.journal,
        title="clips to listen to",
        batches=batches,
        workers=workers,
        timeout_s=timeout_s,
        prepare=fetch_clips,
    )
    rows = [_row(outcome, studio.max_s) for outcome in outcomes]
    _remove_stale(studio.folder, {row["file"] for row in rows if row["file"]})
    types = {"clip": "string", "file": "string", "seconds": "float64", "top_hz": "float64", "problem": "string"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def work_key(ref: ClipRef, max_s: float) -> str:
    """What an excerpt depends on: its clip's name and audio, its length, the code's VERSION and the decoders."""
    audio = [ref.clip, ref.file_sha256, ref.channel, ref.start_s, ref.end_s]
    return value_digest([audio, max_s, VERSION, DECODERS])[:32]


def name_of(ref: ClipRef, max_s: float) -> str:
    """The excerpt's file name without its ending: another one when its content may be another."""
    return f"{ref.clip}-{work_key(ref, max_s)[:8]}"


def make_excerpts(
    refs: Sequence[ClipRef], folder: Path, max_s: float
) -> Iterator[tuple[ClipRef, dict[str, Any] | AudioError]]:
    """What a worker does with a batch of clips: each with its excerpt's facts, or with why there is none."""
    whole = {ref.clip: ref for ref in refs}
    begun = [ref._replace(end_s=min(ref.start_s + max_s, ref.end_s or np.inf)) for ref in refs]
    for beginning, decoded in decoded_clips(begun):
        ref = whole[beginning.clip]
        try:
            if isinstance(decoded, AudioError):
                raise decoded
            audio_TC, rate_hz = decoded
            yield ref, asdict(write_excerpt(mixed(audio_TC), rate_hz, folder / name_of(ref, max_s)))
        except AudioError as error:
            yield ref, error


def _row(outcome: Outcome[ClipRef], max_s: float) -> dict[str, Any]:
    if outcome.result is None:
        gone = outcome.reason == "unreadable"
        problem = f"its file cannot be read any more ({outcome.message})" if gone else outcome.message
        return {"clip": outcome.item.clip, "file": None, "problem": problem}
    return {"clip": outcome.item.clip, "file": name_of(outcome.item, max_s), "problem": None, **outcome.result}


def _is_there(target: Path) -> bool:
    return all(target.with_name(target.name + ending).exists() for ending in _FILES)


def _remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove every file but those of `names`: the folder is ours, and a withdrawn clip must not stay in it."""
    keep = {name + ending for name in names for ending in _FILES}
    if not folder.exists():
        return
    for file in folder.iterdir():
        if file.name not in keep and file.is_file():
            try:
                file.unlink()
            except OSError as error:
                raise storage_error(file, error) from error
