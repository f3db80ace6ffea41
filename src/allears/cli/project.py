"""Where a command works, and on what: the project's data folder and a corpus in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allears.corpus.settings import recall
from allears.params.base import Paths
from allears.storage.lock import locked

DATA = Path("data")


def project_data() -> Path:
    """The data folder of the project that the working directory lies in, else of the working directory."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "conf" / "base").is_dir() and (folder / "pyproject.toml").is_file():
            return folder / DATA
    return here / DATA


def enter_project() -> Path:
    """Go into the project's folder, as paths in its files are relative to it; return its data folder from there."""
    os.chdir(project_data().parent)
    return DATA


def lock_name(corpus: str) -> str:
    """A file name for any corpus name; impossible names are refused later, with a sentence."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in corpus)


def known_corpus(corpus: str) -> Paths:
    """The folders of a corpus that is known, from the project's folder, into which it goes.

    Raises CorpusError with the known names.
    """
    enter_project()
    paths = Paths(corpus=corpus, data=DATA)
    recall(paths, corpus)
    return paths


@contextmanager
def corpus_for_ourselves(paths: Paths, doing: str) -> Iterator[None]:
    """Hold the corpus while the body runs. LockedError says who else does."""
    lock = paths.data / ".locks" / f"{lock_name(paths.corpus)}.lock"
    with locked(lock, doing, f"corpus '{paths.corpus}'"):
        yield
