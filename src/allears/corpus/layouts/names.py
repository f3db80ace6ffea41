"""Files whose names a table writes in another way than the disk; searched only where the name itself is missing.

A letter with an accent can be written in two ways (NFC, NFD): macOS and zip tools change one into the other. Published
corpora are converted by their users, and their tables keep the old endings. Tables from Windows have backslashes.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from allears.corpus.layouts.files import is_audio, unsafe


@dataclass(slots=True)
class _Folder:
    """Names in a folder by their normal form, and of recordings by their stem."""

    by_form: dict[str, list[str]] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=dict)


class Names:
    """Finds files below `root`, or anywhere for absolute paths. `any_ending`: a recording of the same stem will do."""

    def __init__(self, root: Path, *, any_ending: bool = False) -> None:
        self._start = f"{root}/"
        self._any_ending = any_ending
        self._folders: dict[str, _Folder] = {}

    def to_find(self, path: str) -> bool:
        """Return whether `path` is missing, and another name on disk may mean it."""
        return (self._any_ending or not path.isascii()) and not os.path.lexists(self._at(path))

    def decide(self, path: str) -> tuple[str, str | None]:
        """Return the path that `path` means (itself where there is none), and why it must not be followed, or None."""
        found = self.find(path)
        if len(found) > 1:
            return path, f"'{path}' is not there, and may be any of {', '.join(found)}: rename all but one"
        return (found[0] if found else path), None

    def find(self, path: str) -> list[str]:
        """Return the paths that `path` may mean: none, one, or all candidates."""
        start = "/" if path.startswith("/") else ""
        above, slash, name = path.rpartition("/")
        below = above + slash
        if below not in self._folders and not os.path.lexists(self._at(below)):
            below = start
            for part in above.strip("/").split("/"):
                found = self._in(below, part, last=False)
                if len(found) != 1:
                    return [f"{below}{each}" for each in found]
                below = f"{below}{found[0]}/"
        return [f"{below}{each}" for each in self._in(below, name, last=True)]

    def _in(self, below: str, name: str, *, last: bool) -> list[str]:
        if os.path.lexists(self._at(below + name)):
            return [name]
        if below not in self._folders:
            self._folders[below] = _listed(self._at(below))
        folder = self._folders[below]
        found = folder.by_form.get(normal(name), [])
        if not found and last and self._any_ending:
            found = folder.by_stem.get(normal(name.rpartition(".")[0]), [])
        return found

    def _at(self, path: str) -> str:
        return path if path.startswith("/") else self._start + path


def normal(name: str) -> str:
    """Return the name with its letters composed (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def with_slashes(folder: Path, path: str) -> str:
    """Return `path` with / for each backslash where only that names a file below `folder`, else unchanged."""
    if "\\" not in path:
        return path
    other = path.replace("\\", "/")
    there = not os.path.lexists(f"{folder}/{path}") and unsafe(other) is None and os.path.lexists(f"{folder}/{other}")
    return other if there else path


def _listed(folder: str) -> _Folder:
    found = _Folder()
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return found
    for name in names:
        found.by_form.setdefault(normal(name), []).append(name)
        if is_audio(name):
            found.by_stem.setdefault(normal(name.rpartition(".")[0]), []).append(name)
    return found
