"""One tar to write: which clips it holds, and what names its audio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.audio.decode import DECODERS
from allears.corpus.clips import ClipRef
from allears.shards.index import write_part
from allears.storage.digest import value_digest

VERSION = 2
PARTS = "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class TarJob:
    """One tar to write. `snapshots`: what other readers are told of each clip, as JSON. `sources`: tars of the same
    folder that hold all its clips, encoded already; without any, the recordings are decoded.
    """

    path: Path
    sample_rate_hz: int
    clips: tuple[ClipRef, ...]
    snapshots: tuple[str, ...]
    sources: tuple[str, ...] = ()

    @property
    def part(self) -> Path:
        """Its index part."""
        return part_of(self.path)

    @property
    def key(self) -> str:
        """What its audio depends on. Texts and labels are not in it: correcting one rewrites no tar."""
        return tar_key(self.path.name, self.sample_rate_hz, self.clips)


def part_of(tar: Path) -> Path:
    """The index part of a tar."""
    return tar.parent / PARTS / f"{tar.stem}.parquet"


def note_part(job: TarJob, rows: list[dict[str, Any]]) -> int:
    """Write the index part of the tar of a job, which is there; returns the tar's bytes."""
    size = job.path.stat().st_size
    write_part(job.part, rows, {"key": job.key, "bytes": str(size)})
    return size


def tar_key(name: str, sample_rate_hz: int, clips: Sequence[ClipRef]) -> str:
    """What the audio of tar `name` depends on."""
    audio = [[clip.clip, clip.file_sha256, clip.channel, clip.start_s, clip.end_s] for clip in clips]
    return value_digest([VERSION, DECODERS, name, sample_rate_hz, audio])


def names_of(jobs: Iterable[TarJob]) -> set[str]:
    """The names of their tars."""
    return {job.path.name for job in jobs}
