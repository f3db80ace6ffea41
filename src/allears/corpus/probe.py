"""Read every file's digest and header once; what is journalled is not read again until the file changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.audio.decode import DECODERS, facts_together, header
from allears.audio.streams import StreamFacts
from allears.corpus.clips import Recording
from allears.corpus.opening import MOST_TOGETHER, changed_since, fetch_recordings, opened, stamp, taken_together
from allears.engine.mapping import map_batches
from allears.errors import AudioError
from allears.storage.digest import file_digest

VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A file's facts, or the reason why it has none. `fresh`: read in this run."""

    sha256: str = ""
    bytes: int = 0
    codec: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    duration_s: float = 0.0
    reason: str | None = None
    message: str | None = None
    fresh: bool = False


def probe_files(
    recordings: Sequence[Recording], journal: Path, *, workers: int | None = None
) -> dict[Recording, Probed]:
    """Facts of each recording. A missing file is a reason, not an error."""
    facts: dict[Recording, Probed] = {}
    keys: dict[Recording, str] = {}
    stats: dict[Path, os.stat_result | OSError] = {}
    for recording in recordings:
        file = recording.file
        seen = stats[file] if file in stats else stats.setdefault(file, _stat(file))
        if isinstance(seen, OSError):
            missing = isinstance(seen, FileNotFoundError | NotADirectoryError)
            message = f"{file.name}: the corpus names it, and there is no such file" if missing else str(seen)
            facts[recording] = Probed(reason="missing_file" if missing else "unreadable", message=message)
        else:
            inside = "" if recording.member is None else f"|{recording.member}"
            keys[recording] = f"{VERSION}|{DECODERS}|{file}|{seen.st_size}|{seen.st_mtime_ns}{inside}"
    outcomes = map_batches(
        _probe, list(keys), key=keys.__getitem__, journal=journal, title="reading headers", batches=_batches,
        workers=workers, timeout_s=900.0, prepare=fetch_recordings,
    )  # fmt: skip
    for outcome in outcomes:
        known = outcome.result or {}
        facts[outcome.item] = Probed(reason=outcome.reason, message=outcome.message, fresh=outcome.fresh, **known)
    return facts


def _stat(file: Path) -> os.stat_result | OSError:
    try:
        return file.stat()
    except OSError as error:
        return error


def _batches(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """An archive is read once for all its members; files of their own come some at a time."""
    archives: dict[Path, list[Recording]] = {}
    alone: list[Recording] = []
    for recording in recordings:
        (alone if recording.member is None else archives.setdefault(recording.file, [])).append(recording)
    return [alone[i : i + MOST_TOGETHER] for i in range(0, len(alone), MOST_TOGETHER)] + list(archives.values())


def _probe(recordings: Sequence[Recording]) -> Iterator[tuple[Recording, dict[str, Any] | AudioError]]:
    given = {recording: recording for recording in recordings}
    ahead = taken_together(recordings, facts_together)
    for recording, path in opened(recordings):
        if isinstance(path, AudioError):
            yield given[recording], path
            continue
        before, streams = ahead.get(path) or (stamp(path), None)
        found: dict[str, Any] | AudioError
        try:
            found = _facts(path, streams)
        except AudioError as error:
            found = error
        yield given[recording], changed_since(before, path) or found


def _facts(file: Path, streams: StreamFacts | None) -> dict[str, Any]:
    known = header(file, streams)
    return {
        "sha256": file_digest(file), "bytes": file.stat().st_size, "codec": known.codec, "channels": known.channels,
        "sample_rate_hz": known.sample_rate_hz, "duration_s": known.duration_s,
    }  # fmt: skip
