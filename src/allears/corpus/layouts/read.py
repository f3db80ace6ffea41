"""Read a folder by its layout: the one place that knows all readers, and that checks where their rows lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from allears.corpus.layouts import (
    audiofolder,
    common_voice,
    fleurs,
    folder_per_label,
    gigaspeech,
    huggingface,
    kaldi,
    lhotse_cuts,
    librispeech,
    mls,
    nemo,
    plain,
    voxpopuli,
    webdataset,
)
from allears.corpus.layouts.columns import Columns
from allears.corpus.layouts.files import inside, shown, unsafe
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.spans import problem
from allears.errors import CorpusError
from allears.params.corpus import Layout

_NO_TEXT = ("channel", "start_s", "end_s", "attributes")
_texts = attrgetter(*(each.name for each in fields(Row) if each.name not in _NO_TEXT))
_ABSOLUTE = frozenset(("kaldi", "nemo", "lhotse"))  # these name files anywhere on the machine; the others must not


class Reader(Protocol):
    """A module that reads a layout with tables of its own. `NEEDS`: what must be there, in words."""

    NEEDS: str

    def seen(self, root: Path) -> str:
        """What speaks for this layout in `root`; empty where nothing does."""

    def columns_of(self, root: Path, label: str | None) -> Columns:
        """How the columns are understood. Raises CorpusError when `label` is none of them."""

    def rows(self, root: Path, label: str | None) -> Rows:
        """Every row and every line that cannot be one."""


READERS: Mapping[Layout, Reader] = MappingProxyType({
    "librispeech": librispeech, "common_voice": common_voice, "fleurs": fleurs, "mls": mls, "voxpopuli": voxpopuli,
    "gigaspeech": gigaspeech, "kaldi": kaldi, "nemo": nemo, "lhotse": lhotse_cuts, "audiofolder": audiofolder,
    "huggingface": huggingface, "webdataset": webdataset,
})  # fmt: skip


def read_rows(root: Path, layout: Layout, label: str | None, *, anywhere: bool = True) -> Rows:
    """Every row and every reject of `root`, as its layout says, one at a time. No row leads out of `root`.

    `anywhere`: tables of the layouts that do so may name files elsewhere on this machine; not those from a bucket.
    """
    match layout:
        case "folder_per_label":
            found = folder_per_label.rows(root, label)
        case "plain":
            found = plain.rows(root, label)
        case _:
            found = READERS[layout].rows(root, label)
    return _checked(found, root, absolute=anywhere and layout in _ABSOLUTE)


def explain_label(root: Path, layout: Layout, label: str | None) -> str:
    """What is the label of this source, in words. Raises CorpusError when `label` is not one of its columns."""
    match layout:
        case "folder_per_label":
            if label not in (None, "label"):
                raise CorpusError(f"ingest.label: '{label}' is no column of {root}: there the folder is the label")
            return "the folder is the label"
        case "plain":
            if label is not None:
                raise CorpusError(f"ingest.label: '{label}' is no column of {root}: a plain folder has none")
            return "there is no label"
        case _:
            columns = READERS[layout].columns_of(root, label)
            names = " or ".join(f"'{name}'" for name in columns.label)
            return columns.why or (f"the label is column {names}" if names else "no column is a label")


def _checked(items: Iterable[Row | Reject], root: Path, *, absolute: bool) -> Rows:
    """The same, but rejects for rows whose path leads out of `root`, in words or by a link, whose times are none, or
    whose text cannot be written down.

    A layout that may name files anywhere (`absolute`) says where they are; a link in `root` does not say so.
    """
    stays = inside(root)
    for item in items:
        if isinstance(item, Reject):
            yield replace(item, name=shown(item.name), path=shown(item.path), message=shown(item.message))
            continue
        why = unsafe(item.path, absolute=absolute)
        reason = "outside_root" if item.path else "malformed_line"
        if why is None and not item.path.startswith("/") and not stays(item.path):
            why = f"'{item.path}' is a link that leads out of the source's folder: give the folder that holds both"
        if why is None:
            why, reason = problem(item.start_s, item.end_s), "bad_segment"
        if why is None and not _is_unicode(item):
            why, reason = "half of a character is in it, or a folder's name that is not UTF-8", "malformed_line"
        if why is None:
            yield item
        else:
            name, path = shown(item.name), shown(item.path)
            yield Reject(name=name, path=path, reason=reason, message=f"{name}: {shown(why)}")


def _is_unicode(row: Row) -> bool:
    """Whether all of a row can be written: JSON can hold half of a character, and a file's name any bytes."""
    try:
        "".join((*filter(None, _texts(row)), *row.attributes, *row.attributes.values())).encode()
    except UnicodeEncodeError:
        return False
    return True
