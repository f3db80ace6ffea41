"""Read every file's digest and header once; what is journalled is not read again until the file changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.audio.decode import DECODERS, header
from allears.engine.mapping import map_items
from allears.storage.digest import file_digest

VERSION = 1


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


def probe_files(files: Sequence[Path], journal: Path, *, workers: int | None = None) -> dict[Path, Probed]:
    """Facts of each file, by its path. A missing file is a reason, not an error."""
    facts: dict[Path, Probed] = {}
    keys: dict[Path, str] = {}
    for file in files:
        try:
            seen = file.stat()
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            message = f"{file.name}: the corpus names it, and there is no such file" if missing else str(error)
            facts[file] = Probed(reason="missing_file" if missing else "unreadable", message=message)
        else:
            keys[file] = f"{VERSION}|{DECODERS}|{file}|{seen.st_size}|{seen.st_mtime_ns}"
    outcomes = map_items(
        _probe, list(keys), key=keys.__getitem__, journal=journal, title="reading headers", workers=workers,
        timeout_s=900.0,
    )  # fmt: skip
    for outcome in outcomes:
        known = outcome.result or {}
        facts[outcome.item] = Probed(reason=outcome.reason, message=outcome.message, fresh=outcome.fresh, **known)
    return facts


def _probe(file: Path) -> dict[str, Any]:
    known = header(file)
    return {
        "sha256": file_digest(file), "bytes": file.stat().st_size, "codec": known.codec, "channels": known.channels,
        "sample_rate_hz": known.sample_rate_hz, "duration_s": known.duration_s,
    }  # fmt: skip
