"""Splits of a corpus that only its folders name: `train/x.wav`, `data/test-clean/x.wav`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from allears.corpus.layouts.files import split_in

_split_in = lru_cache(maxsize=1024)(split_in)


class SplitFolders:
    """Collector of the paths of a source, which then gives the split of each.

    They are splits where one level of folders names a split in every path, and not the same in all.
    """

    def __init__(self) -> None:
        self._levels: dict[int, set[str]] | None = None  # level → splits so far, of those that name one in every path

    def see(self, path: str) -> None:
        """Add a path."""
        if self._levels is not None and not self._levels:
            return
        told = dict(enumerate(map(_split_in, path.split("/")[:-1])))
        before = {level: set[str]() for level in told} if self._levels is None else self._levels
        self._levels = {level: found | {split} for level, found in before.items() if (split := told.get(level))}

    @property
    def level(self) -> int | None:
        """The level of folders that names the splits, from 0; None where there is none."""
        return next((level for level, found in (self._levels or {}).items() if len(found) > 1), None)

    def split_of(self, path: str) -> str | None:
        """The split of a path that was seen."""
        return None if self.level is None else _split_in(path.split("/")[self.level])


def called_like_splits(paths: Iterable[str]) -> list[str]:
    """Return the first folders of `paths` that are called like a split, where these are several splits."""
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    named = sorted(folder for folder in folders if _split_in(folder))
    return named if len({_split_in(folder) for folder in named}) > 1 else []
