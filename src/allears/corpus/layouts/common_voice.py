"""Common Voice: `LOCALE/{train,dev,test,validated,other,invalidated}.tsv` and `LOCALE/clips/`, since version 2.

Quotes in its sentences are unbalanced and mean nothing. A clip is in several tables: the splits are parts of validated.
`validated` clips outside the splits, and `other` ones (too few votes), get no split here: they go with their speaker.
The text of an `invalidated` clip is not what is said, by its listeners' votes: it is kept as an attribute alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, ahead, match_columns, row_from
from allears.corpus.layouts.files import nearest_level, relative
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.tables import Broken, header, read_split, records
from allears.types import SPLITS

REQUIRED = ("client_id", "path")
KNOWN = (
    *REQUIRED, "sentence", "sentence_id", "sentence_domain", "up_votes", "down_votes", "age", "gender", "accent",
    "accents", "variant", "locale", "segment",
)  # fmt: skip
ABOUT = About(
    needs="train.tsv (with client_id and path in its first line) beside clips/",
    any_ending=True,
    required=REQUIRED,
    known=KNOWN,
)
_TABLES = ("train", "dev", "test", "validated", "other", "invalidated")  # the first that names a clip counts


def locales(root: Path) -> list[Path]:
    """The folders of `root` that are a language: itself, those in it, or those in the release in it."""
    return nearest_level(root, lambda folder: (folder / "clips").is_dir() and bool(_tables(folder)), depth=2)


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = locales(root)
    if not found:
        return ""
    tables = ", ".join(f"{name}.tsv" for name in _TABLES if any(name in _tables(folder) for folder in found))
    names = ", ".join(folder.name for folder in found)
    return (
        f"there are clips/ and {tables} of Common Voice ({names}); what is outside the splits is used too, with its "
        "attributes.status, and the texts of invalidated clips are not"
    )


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    tables = [folder / f"{name}.tsv" for folder in locales(root) for name in _tables(folder)]
    names = dict.fromkeys(name for table in tables for name in header(read_split(table)))
    return match_columns([*names, "locale", "split", "status"], asked, f"{root} (Common Voice)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a clip, whatever tables name it."""
    columns = columns_of(root, asked)
    for folder in locales(root):
        described: dict[str, str] = {}
        for table in _tables(folder):
            yield from _table_rows(root, folder, table, columns, described)


def _table_rows(root: Path, folder: Path, table: str, columns: Columns, described: dict[str, str]) -> Rows:
    """`described`: clip → the table that named it first."""
    file = folder / f"{table}.tsv"
    for number, record in records(read_split(file)):
        where = f"{relative(file, root)} line {number}"
        if isinstance(record, Broken):
            yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {record.why}")
            continue
        clip = (record["path"] or "").strip()
        first = described.get(clip)
        if first is None:
            described[clip] = table
            yield _clip(root, folder, clip, record, table, columns)
        elif not (table == "validated" and first in SPLITS):  # they are taken from it
            message = f"{where}: {clip} was described before, in {first}.tsv; the first counts"
            yield Reject(name=clip, path=clip, reason="duplicate_id", message=message)


def _clip(root: Path, folder: Path, clip: str, record: dict[str, str | None], table: str, columns: Columns) -> Row:
    file = folder / "clips" / (clip if "." in clip else f"{clip}.mp3")  # the first releases left it out
    own = {"path": relative(file, root)}
    own |= {"split": table, "status": "validated"} if table in SPLITS else {"status": table}
    known = {"locale": folder.name} | {name: value for name, value in record.items() if value}
    row = replace(row_from(ahead(own, known), columns), name=clip.removesuffix(".mp3"))
    if table != "invalidated" or row.text is None:
        return row
    return replace(row, text=None, attributes=row.attributes | {"text_invalidated": row.text})


def _tables(folder: Path) -> list[str]:
    return [name for name in _TABLES if _is_table(folder / f"{name}.tsv")]


def _is_table(file: Path) -> bool:
    return file.is_file() and set(REQUIRED) <= set(header(read_split(file)))
