"""AudioFolder: `metadata.csv`, `.jsonl` or `.parquet` with a column of file names relative to it (Hugging Face).

One table in the folder itself, or one in each of its folders that are named after a split (train, test_clean).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Asked, Columns, clean, field_of, match_columns, no_label, row_from, text_of
from allears.corpus.layouts.files import is_file, relative, split_in, unsafe
from allears.corpus.layouts.names import with_slashes
from allears.corpus.layouts.parquet import in_a_line, records_of, schema_of
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.tables import Broken, header, read_csv, read_json_lines, records
from allears.errors import CorpusError
from allears.storage.containers import tidied

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
ABOUT = About(needs=" or ".join(TABLES), free_columns=True)
_LOOKED_AT, _FEW, _NEARLY_ALL = 1000, 20, 0.9  # lines of a table; too few to say; share of values


def tables(root: Path) -> list[tuple[Path, str, str | None]]:
    """The tables of `root`: file, prefix of its paths ('' or 'train/'), split of its rows.

    Raises CorpusError when a folder holds two of them, or `root` and one below: which one counts is not ours to guess.
    """
    folders: list[tuple[Path, str, str | None]] = [(root, "", None)]
    if root.is_dir():
        folders += [
            (folder, f"{folder.name}/", split)
            for folder in sorted(root.iterdir())
            if folder.is_dir() and folder.name[0] != "." and (split := split_in(folder.name)) is not None
        ]
    found: list[tuple[Path, str, str | None]] = []
    for folder, prefix, split in folders:
        here = [folder / name for name in TABLES if (folder / name).is_file()]
        if len(here) > 1:
            raise CorpusError(
                f"{folder} holds {' and '.join(file.name for file in here)}: keep the one that describes it, and move "
                "the other away"
            )
        found += [(file, prefix, split) for file in here]
    if len(found) > 1 and found[0][1] == "":
        names = " and ".join(relative(file, root) for file, _, _ in found)
        raise CorpusError(f"{root} holds {names}: keep the first, or those below it, and move the others away")
    return found


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = ", ".join(relative(file, root) for file, _, _ in tables(root))
    return f"there is {found}" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """What the columns of all tables say of the label. Raises CorpusError for a table that names no files."""
    named = {file: _names(file) for file, _, _ in tables(root)}
    every = dict.fromkeys(name for names in named.values() for name in names)
    columns = match_columns(every, asked, " and ".join(str(file) for file in named), files=True)
    given = {column for field, column in columns.fields if field == "file"}
    for file, names in named.items():
        if given.isdisjoint(names) and not any(field_of(name) == "file" for name in names):
            raise CorpusError(
                f"{file} has no column file_name (it has {', '.join(names) or 'no columns'}): it must say which "
                "recording each line is about, relative to itself; ingest.columns.file=COLUMN names another one"
            )
    guessed = columns.label[0] if columns.label and columns.why else None
    if guessed is not None and any(_names_each_clip(file, guessed) for file in named):
        return replace(columns, label=(), why=no_label(guessed, "is another in nearly every line"))
    return columns


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line; a second line about the same file, and a line that cannot be read, are rejects."""
    seen: set[tuple[str, str | None]] = set()
    of_all = columns_of(root, asked)
    for file, prefix, split in tables(root):
        columns = _with_file_column(of_all, file)
        for number, record in enumerate(_records(file), start=1):
            yield _row(record, columns, file, number, prefix, split, seen)


def _row(
    record: dict[str, Any] | Broken,
    columns: Columns,
    file: Path,
    number: int,
    prefix: str,
    split: str | None,
    seen: set[tuple[str, str | None]],
) -> Row | Reject:
    where = f"{prefix}{file.name} row {number}"
    if isinstance(record, Broken):
        return Reject(name=where, path="", reason="malformed_line", message=f"{where}: {record.why}")
    row = row_from(record, columns)
    path = with_slashes(file.parent, row.path)
    problem = unsafe(path, folder=file.parent)
    if problem is not None:
        reason = "outside_root" if path else "malformed_line"
        return Reject(name=where, path=path, reason=reason, message=f"{where}: {problem}")
    path = prefix + tidied(path)
    about = (path, row.side)  # each side of a call may have a line of its own
    if about in seen:
        return Reject(
            name=where,
            path=path,
            reason="duplicate_id",
            message=f"{where}: {path} was described before; the first counts",
        )
    seen.add(about)
    return replace(row, name=path, path=path, split=row.split or split)


def _with_file_column(columns: Columns, file: Path) -> Columns:
    """Of several columns that could name the files of a table, the one that names most of those that are there."""
    head = [record for record in islice(_records(file), _FEW) if isinstance(record, dict)]
    names = [name for name in dict.fromkeys(name for record in head for name in record) if field_of(name) == "file"]
    if len(names) < 2 or "file" in dict(columns.fields):
        return columns

    def there(name: str) -> tuple[int, bool]:
        values = (text_of(record.get(name)) for record in head)
        paths = [path for path in values if path and unsafe(path, folder=file.parent) is None]
        return sum(is_file(file.parent / path) for path in paths), name == "file_name"

    return replace(columns, fields=(*columns.fields, ("file", max(names, key=there))))


def _names_each_clip(file: Path, column: str) -> bool:
    """Whether the values at the head of a table are nearly all different: a label is what clips have in common."""
    head = islice(_records(file), _LOOKED_AT)
    values = [value for record in head if isinstance(record, dict) and (value := clean(record.get(column))) is not None]
    return len(values) >= _FEW and len(set(values)) > _NEARLY_ALL * len(values)


def _names(file: Path) -> list[str]:
    match file.suffix:
        case ".csv":
            return header(read_csv(file))
        case ".parquet":
            schema = schema_of(file)
            if isinstance(schema, str):
                raise CorpusError(f"{file}: {schema}")
            return list(schema.names)
        case _:
            lines = (line for _, line in read_json_lines(file) if isinstance(line, dict))
            return list(dict.fromkeys(name for record in lines for name in record))


def _records(file: Path) -> Iterator[dict[str, Any] | Broken]:
    match file.suffix:
        case ".csv":
            return (record for _, record in records(read_csv(file)))
        case ".parquet":
            return _parquet(file)
        case _:
            lines = read_json_lines(file)
            return (record for _, record in lines)


def _parquet(file: Path) -> Iterator[dict[str, Any] | Broken]:
    """Raises CorpusError where it is damaged: how many of its rows are lost cannot be said."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=4096):
                yield from records_of(batch)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{file} is damaged ({in_a_line(error)}): copy it again, or write it anew") from error
