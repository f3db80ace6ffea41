"""A folder per label: `label/…/file`, or `train/label/…/file` (recordings named by where they lie)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.files import SPLIT_WORDS, is_recording, split_in, walk
from allears.corpus.layouts.plain import from_paths
from allears.corpus.layouts.row import Reject, Row, Rows


def rows(root: Path) -> Rows:
    """One row a file; its first folder (below the split's) is the label."""
    paths = list(walk(root))
    first = {path.split("/", maxsplit=1)[0] for path in paths if "/" in path and is_recording(root, path)}
    split_first = by_split(first)
    for row in from_paths(root, paths):
        yield row if isinstance(row, Reject) else _labelled(row, split_first=split_first)


def by_split(folders: set[str]) -> bool:
    """Return whether the first folders are splits (train, dev and test, or train-clean and test-clean), not labels."""
    splits = {split_in(name) for name in folders}
    several = len(splits) > 1 and None not in splits
    return several or (bool(folders) and all(name.lower() in SPLIT_WORDS for name in folders))


def _labelled(row: Row, *, split_first: bool) -> Row:
    parts = row.path.split("/")[:-1]
    split = split_in(parts.pop(0)) if split_first and parts else None
    return replace(row, label=parts[0] if parts else None, split=split)
