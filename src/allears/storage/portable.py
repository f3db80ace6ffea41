"""Paths as files of the project name them: relative to the project where they lie in it, so that it can be moved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def portable(path: str | Path) -> Path:
    """Return `path` relative to the working directory, from which all commands work in a project, if it lies below it.

    A path outside of it is made absolute. Links count as where they lie; one that leads into the project from outside
    as what it leads to.
    """
    whole = Path(os.path.normpath(Path(path).absolute()))
    here = Path.cwd()
    inside = next((each for each in (whole, whole.resolve()) if each.is_relative_to(here)), None)
    return whole if inside is None else inside.relative_to(here)


def portable_values(values: Any) -> Any:
    """Return nested settings with each absolute path below the working directory as `portable_text` has it."""
    match values:
        case str():
            return portable_text(values)
        case dict():
            return {key: portable_values(each) for key, each in values.items()}
        case list() | tuple():
            return type(values)(portable_values(each) for each in values)
        case _:
            return values


def portable_text(text: str) -> str:
    """Return `text` as `portable` would where it is an absolute path below the working directory, else unchanged."""
    below = f"{Path.cwd()}/"
    return text.removeprefix(below) or "." if text.startswith(below) else text
