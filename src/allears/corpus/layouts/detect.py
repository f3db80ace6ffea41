"""Which layout a folder has, and why: said aloud, and never guessed between two."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from allears.corpus.layouts.files import is_recording, walk
from allears.corpus.layouts.folder_per_label import by_split
from allears.corpus.layouts.read import READERS
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
            f"{root} has no {reader.NEEDS}, which ingest.layout={layout} needs; give another layout ({options}), or "
            "leave it out to have it detected"
        )


def _by_folders(root: Path) -> Detected:
    audio: Counter[int] = Counter()
    first: set[str] = set()
    other: Counter[str] = Counter()
    for path in walk(root):
        *folders, name = path.split("/")
        if not is_recording(root, path):
            other[name.rpartition(".")[2].lower() if "." in name else "no extension"] += 1
            continue
        audio[len(folders)] += 1
        first.update(folders[:1])
    if not audio:
        found = ", ".join(f"{count} × {kind}" for kind, count in other.most_common(5)) or "nothing"
        raise CorpusError(f"{root} holds no recordings (found {found}); name the folder that holds them")
    total = f"{audio.total()} recordings" + (f" ({other.total()} other files are ignored)" if other else "")
    label_depth = 2 if by_split(first) else 1
    if len(first) > 1 and set(audio) == {label_depth}:
        levels = "train/label/file" if label_depth == 2 else "label/file"
        return Detected(
            "folder_per_label",
            f"no table describes them, and all {total} lie as {levels}; where the folders are no labels, give "
            "ingest.layout=plain",
        )
    return Detected("plain", f"no table describes the {total}, and they do not lie in a folder a label")
