"""Which layout a folder has, and why: said aloud, and never guessed between two."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from allears.corpus.layouts.audiofolder import TABLES
from allears.corpus.layouts.files import is_recording, walk
from allears.corpus.layouts.folder_per_label import by_split
from allears.corpus.layouts.read import READERS
from allears.corpus.layouts.unread import look_beside
from allears.errors import CorpusError
from allears.params.corpus import Layout


@dataclass(frozen=True, slots=True)
class Detected:
    """A layout and the sentence that says what was seen."""

    layout: Layout
    why: str


def detect(root: Path) -> Detected:
    """The layout of `root`. Raises CorpusError when there is no audio, or when two layouts are equally true."""
    described = [Detected(layout, why) for layout, reader in READERS.items() if (why := reader.seen(root))]
    if len(described) > 1:
        options = " or ".join(f"ingest.layout={found.layout} ({found.why})" for found in described)
        raise CorpusError(f"{root} can be read in {len(described)} ways: say which you mean, {options}")
    return described[0] if described else _by_folders(root)


def check_present(root: Path, layout: Layout) -> None:
    """Raise CorpusError when `root` lacks what `layout` needs."""
    reader = READERS.get(layout)
    if reader is not None and not reader.seen(root):
        options = ", ".join(get_args(Layout))
        raise CorpusError(
            f"{root} has no {reader.ABOUT.needs}, which ingest.layout={layout} needs; give another layout ({options}), "
            "or leave it out to have it detected"
        )


def _by_folders(root: Path) -> Detected:
    recordings, others = _sorted_out(root)
    kinds = Counter(name.rpartition(".")[2].lower() if "." in name else "no extension" for name in map(_name, others))
    found = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common(5))
    if not recordings:
        raise CorpusError(f"{root} holds no recordings (found {found or 'nothing'}); name the folder that holds them")
    beside = look_beside(root, recordings, others)
    if problem := beside.problem():
        raise CorpusError(f"{root}: {problem}")
    note = f"; {beside.note()}" if beside.note() else ""
    total = f"{len(recordings)} recordings" + (f" (other files are ignored: {found})" if others else "")
    audio = {path.count("/") for path in recordings}
    first = {path.partition("/")[0] for path in recordings if "/" in path}
    label_depth = 2 if by_split(first) else 1
    if len(first) > 1 and audio == {label_depth}:
        levels = "train/label/file" if label_depth == 2 else "label/file"
        return Detected(
            "folder_per_label",
            f"no table describes them, and all {total} lie as {levels}; where the folders are no labels, give "
            f"ingest.layout=plain{note}",
        )
    return Detected("plain", f"no table describes the {total}, and they do not lie in a folder a label{note}")


def note_unread(root: Path, layout: Layout) -> str:
    """Return a note on what lies beside the recordings of `root` and is not read; empty where there is nothing.

    `layout`: one that reads no table, or `audiofolder`, which reads those of one name.
    """
    recordings, others = _sorted_out(root)
    if layout == "audiofolder":
        others = [path for path in others if _name(path) not in TABLES]
    beside = look_beside(root, recordings, others)
    return beside.problem().partition(" Nearest layouts")[0] or beside.note()


def _sorted_out(root: Path) -> tuple[list[str], list[str]]:
    """The recordings below `root`, and all other files."""
    recordings: list[str] = []
    others: list[str] = []
    for path in walk(root):
        (recordings if is_recording(root, path) else others).append(path)
    return recordings, others


def _name(path: str) -> str:
    return path.rpartition("/")[2]
