"""Read a folder by its layout, and check where the rows of each reader lead."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

from allears.corpus.layouts import folder_per_label, plain
from allears.corpus.layouts.columns import Asked
from allears.corpus.layouts.files import inside, shown, unsafe
from allears.corpus.layouts.names import Names, with_slashes
from allears.corpus.layouts.reader import About, Reader
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.spans import problem
from allears.errors import CorpusError, nearest
from allears.params.corpus import BY_NAME, ColumnNames, Described, Layout

_NO_TEXT = ("channel", "start_s", "end_s", "attributes")
_texts = attrgetter(*(each.name for each in fields(Row) if each.name not in _NO_TEXT))
_SHOWN = 12  # columns

logger = logging.getLogger(__name__)


READERS: Mapping[Layout, Reader] = MappingProxyType({
    layout: cast("Reader", import_module(f"allears.corpus.layouts.{layout}")) for layout in get_args(Described)
})  # fmt: skip


def read_rows(
    root: Path, layout: Layout, label: str | None, *, anywhere: bool = True, columns: ColumnNames = BY_NAME
) -> Rows:
    """Every row and every reject of `root`, as its layout says, one at a time. No row leads out of `root`.

    `anywhere`: tables of the layouts that do so may name files elsewhere on this machine; not those from a bucket.
    """
    match layout:
        case "folder_per_label":
            found = folder_per_label.rows(root)
        case "plain":
            found = plain.rows(root)
        case _:
            found = READERS[layout].rows(root, Asked(label, columns.given()))
    return _checked(found, root, READERS[layout].ABOUT if layout in READERS else None, anywhere=anywhere)


def explain_columns(root: Path, layout: Layout, label: str | None, columns: ColumnNames = BY_NAME) -> str:
    """Return a sentence on the label of this source and the columns that nothing maps.

    Raises CorpusError when `label` is not one of its columns.
    """
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
            found = READERS[layout].columns_of(root, Asked(label, columns.given()))
            names = " or ".join(f"'{name}'" for name in found.label)
            said = found.why or (f"the label is column {names}" if names else "no column is a label")
            apart = found.kept_apart() if READERS[layout].ABOUT.free_columns else []
            more = f" … ({len(apart)})" if len(apart) > _SHOWN else ""
            return said + (f"; kept as attributes: {', '.join(apart[:_SHOWN])}{more}" if apart else "")


def check_columns(sources: Iterable[tuple[Path, Layout]], columns: ColumnNames) -> None:
    """Raise CorpusError for a column that was asked for and that none of the `sources` has."""
    asked = Asked(None, columns.given())
    if not asked.fields:
        return
    found = [READERS[layout].columns_of(root, asked) for root, layout in sources if layout in READERS]
    there = {field for source in found for field, _ in source.fields}
    names = list(dict.fromkeys(name for source in found for name in source.names))
    for field, column in asked.fields:
        if field not in there:
            why = (
                "only tables of the layout audiofolder name recordings by a column"
                if field == "file" and column in names
                else f"there is no such column{nearest(column, names)} (there are {', '.join(names) or 'none'})"
            )
            raise CorpusError(f"ingest.columns.{field}={column}: {why}")


def _checked(items: Iterable[Row | Reject], root: Path, about: About | None, *, anywhere: bool) -> Rows:
    """The same, but rejects for rows whose path leads out of `root`, in words or by a link, whose times are none, or
    whose text cannot be written down; and with the name on disk where a table writes it otherwise (`names.py`).

    A layout whose tables may name files anywhere says where they are; a link in `root` does not. `about`: None for
    layouts without tables, which give paths below `root` as they are on disk.
    """
    absolute = anywhere and about is not None and about.absolute
    stays, names = inside(root), Names(root, any_ending=about is not None and about.any_ending)
    renamed: dict[tuple[Any, ...], bool] = {}  # pieces of files whose name is not ASCII → whether a table writes it so
    for item in items:
        if isinstance(item, Reject):
            yield replace(item, name=shown(item.name), path=shown(item.path), message=shown(item.message))
            continue
        path = with_slashes(root, item.path)
        why = None if about is None else unsafe(path, absolute=absolute, folder=root)
        reason = "outside_root" if path else "malformed_line"
        if why is None and names.to_find(path):
            path, why = names.decide(path)
            reason = "ambiguous_name" if why is not None else reason
        if why is None and not path.startswith("/") and not stays(path):
            why = f"'{path}' is a link that leads out of the source's folder: give the folder that holds both"
        if why is None:
            row = item if path == item.path else replace(item, path=path)
            reason, why = _problem(row, item.path, renamed)
        if why is None:
            yield row
        else:
            name = shown(item.name)
            yield Reject(name=name, path=shown(path), reason=reason, message=f"{name}: {shown(why)}")
    if count := sum(renamed.values()):
        logger.info("%s: %d names are found on disk with their letters written otherwise (NFC, NFD)", root, count)


def _problem(row: Row, told: str, renamed: dict[tuple[Any, ...], bool]) -> tuple[str, str | None]:
    """Why a row cannot be one though its path can be followed; `told`: the path as its table writes it."""
    if (row.start_s, row.end_s) != (None, None) and (why := problem(row.start_s, row.end_s)) is not None:
        return "bad_segment", why
    if not _is_unicode(row):
        return "malformed_line", "half of a character is in it, or a folder's name that is not UTF-8"
    if row.path.isascii():
        return "", None
    piece, otherwise = (row.path, row.member, row.channel, row.start_s, row.end_s), row.path != told
    if piece in renamed and (renamed[piece] or otherwise):
        return "duplicate_id", f"{row.path} was described before, with its letters written otherwise"
    renamed.setdefault(piece, otherwise)
    return "", None


def _is_unicode(row: Row) -> bool:
    """Whether all of a row can be written: JSON can hold half of a character, and a file's name any bytes."""
    try:
        "".join((*filter(None, _texts(row)), *row.attributes, *row.attributes.values())).encode()
    except UnicodeEncodeError:
        return False
    return True
