"""A plain folder: every recording or video below it is a row, and nothing is known about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from allears.corpus.layouts.files import is_recording, is_text, walk
from allears.corpus.layouts.row import Reject, Row, Rows


def rows(root: Path) -> Rows:
    """One row a file."""
    return from_paths(root, walk(root))


def from_paths(root: Path, paths: Iterable[str]) -> Rows:
    """One row a recording; a reject where a name cannot be written down, or a folder is a link that leads out."""
    for path in paths:
        if path.endswith("/"):
            why = "a link that leads out of the source's folder: add the folder that it leads to as a source of its own"
            yield Reject(name=path, path=path, reason="outside_root", message=f"{path}: {why}")
        elif not is_recording(root, path):
            continue
        elif is_text(path):
            yield Row(name=path, path=path)
        else:
            shown = "".join(letter if letter.isprintable() else "?" for letter in path)  # a terminal would obey it
            yield Reject(
                name=shown, path=shown, reason="bad_name", message=f"{shown}: its name is not readable text; rename it"
            )
