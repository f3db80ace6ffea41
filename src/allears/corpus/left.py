"""Clips that a corpus had once: by a digest of their ids, so that nothing of what was withdrawn stays readable.

`data/02_intermediate/<corpus>/left.parquet` tells what people wrote of a clip that is gone from a slip of the pen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from allears.errors import CorpusError, nearest
from allears.params.base import Paths
from allears.storage.tables import write_parquet


@dataclass(frozen=True, slots=True)
class Left:
    """Whether a clip left a corpus: `clip in left`."""

    digests: frozenset[str] = frozenset()

    def __contains__(self, clip: object) -> bool:
        return _digest(str(clip)) in self.digests


NONE_LEFT = Left()


def read_left(paths: Paths) -> Left:
    """The clips that left; none before anything did."""
    file = _file(paths)
    return Left(frozenset(pd.read_parquet(file)["digest"])) if file.exists() else NONE_LEFT


def note_left(paths: Paths, clips: Iterable[str]) -> Left:
    """Note that `clips` left, and give all that did. One that comes back stays noted: it is in the manifest then."""
    known = read_left(paths).digests
    every = known | {_digest(clip) for clip in clips}
    if every != known:
        write_parquet(_file(paths), pd.DataFrame({"digest": sorted(every)}, dtype="string"))
    return Left(every)


def left_of(named: Iterable[tuple[str, str]], clips: Collection[str], *left: Container[str]) -> set[str]:
    """Which of the ids `named` (each with file and line) are not of `clips`, because they left.

    Raises CorpusError for one that never was there.
    """
    gone = {clip: where for clip, where in named if clip not in clips}
    for clip, where in gone.items():
        if not any(clip in each for each in left):
            raise CorpusError(
                f"{where}: '{clip}' is no clip of this corpus, and never was one{nearest(clip, clips) or '.'} Correct "
                "the line or take it out; what is in the quarantine is no clip yet"
            )
    return set(gone)


def told(count: int, what: str, file: Path) -> str:
    """One line about lines that apply to nothing."""
    return f"{count:,} {what} in {file} are of clips that have left the corpus, and apply to nothing"


def _digest(clip: str) -> str:
    return hashlib.sha256(clip.encode()).hexdigest()[:16]


def _file(paths: Paths) -> Path:
    return paths.intermediate / "left.parquet"
