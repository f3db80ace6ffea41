"""Read a folder by its layout: the one place that knows all readers."""

from __future__ import annotations

from pathlib import Path

from allears.corpus.layouts import audiofolder, folder_per_label, kaldi, plain
from allears.corpus.layouts.row import Rows
from allears.errors import CorpusError
from allears.params.corpus import Layout


def read_rows(root: Path, layout: Layout, label: str | None) -> Rows:
    """Every row and every reject of `root`, as its layout says, one at a time."""
    match layout:
        case "kaldi":
            return kaldi.rows(root, label)
        case "audiofolder":
            return audiofolder.rows(root, label)
        case "folder_per_label":
            return folder_per_label.rows(root, label)
        case "plain":
            return plain.rows(root, label)


def explain_label(root: Path, layout: Layout, label: str | None) -> str:
    """What is the label of this source, in words. Raises CorpusError when `label` is not one of its columns."""
    match layout:
        case "kaldi" | "audiofolder":
            columns = (kaldi if layout == "kaldi" else audiofolder).columns_of(root, label)
            found = f"the label is column '{columns.label}'" if columns.label else "no column is a label"
            return columns.why or found
        case "folder_per_label":
            if label not in (None, "label"):
                raise CorpusError(f"ingest.label: '{label}' is no column of {root}: there the folder is the label")
            return "the folder is the label"
        case "plain":
            if label is not None:
                raise CorpusError(f"ingest.label: '{label}' is no column of {root}: a plain folder has none")
            return "there is no label"
