"""AudioFolder: `metadata.csv`, `.jsonl` or `.parquet` with a column of file names relative to it (Hugging Face).

One table in the folder itself, or one in each of its folders train, dev and test.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Columns, match_columns, row_from
from allears.corpus.layouts.files import SPLIT_FOLDERS, unsafe
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.errors import CorpusError

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BROKEN = "\0"  # key of a record that holds the sentence on why its line cannot be read


def tables(root: Path) -> list[tuple[Path, str, str | None]]:
    """The tables of `root`: file, prefix of its paths ('' or 'train/'), split of its rows.

    Raises CorpusError when a folder holds two of them: which one counts is not ours to guess.
    """
    folders: list[tuple[Path, str, str | None]] = [(root, "", None)]
    if root.is_dir():
        folders += [
            (folder, f"{folder.name}/", SPLIT_FOLDERS[folder.name.lower()])
            for folder in sorted(root.iterdir())
            if folder.is_dir() and folder.name.lower() in SPLIT_FOLDERS
        ]
    found = []
    for folder, prefix, split in folders:
        here = [folder / name for name in TABLES if (folder / name).is_file()]
        if len(here) > 1:
            raise CorpusError(
                f"{folder} holds {' and '.join(file.name for file in here)}: keep the one that describes it, and move "
                "the other away"
            )
        found += [(file, prefix, split) for file in here]
    return found[:1] if found and found[0][1] == "" else found


def columns_of(root: Path, label: str | None) -> Columns:
    """How the first table's columns are understood. Raises CorpusError when none of them names files."""
    file, _, _ = tables(root)[0]
    names = _names(file)
    columns = match_columns(names, label, str(file))
    if "file" not in columns.fields:
        raise CorpusError(
            f"{file} has no column file_name (it has {', '.join(names) or 'no columns'}): it must say which recording "
            "each line is about, relative to itself"
        )
    return columns


def rows(root: Path, label: str | None) -> Rows:
    """One row a line; a second line about the same file, and a line that cannot be read, are rejects."""
    seen: set[str] = set()
    columns = columns_of(root, label)
    for file, prefix, split in tables(root):
        for number, record in enumerate(_records(file), start=1):
            yield _row(record, columns, file, number, prefix, split, seen)


def _row(
    record: dict[str, Any], columns: Columns, file: Path, number: int, prefix: str, split: str | None, seen: set[str]
) -> Row | Reject:
    where = f"{prefix}{file.name} row {number}"
    if _BROKEN in record:
        return Reject(name=where, path="", reason="malformed_line", message=f"{where}: {record[_BROKEN]}")
    row = row_from(record, columns)
    problem = unsafe(row.path)
    if problem is not None:
        reason = "outside_root" if row.path else "malformed_line"
        return Reject(name=where, path=row.path, reason=reason, message=f"{where}: {problem}")
    path = prefix + row.path
    if path in seen:
        return Reject(
            name=where,
            path=path,
            reason="duplicate_id",
            message=f"{where}: {path} was described before; the first counts",
        )
    seen.add(path)
    return replace(row, name=path, path=path, split=row.split or split)


def _names(file: Path) -> list[str]:
    match file.suffix:
        case ".csv":
            with file.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
                return next(csv.reader(handle), [])
        case ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(file).names)
        case _:
            return list(dict.fromkeys(name for record in _records(file) for name in record if name != _BROKEN))


def _records(file: Path) -> Iterator[dict[str, Any]]:
    match file.suffix:
        case ".csv":
            return _csv(file)
        case ".parquet":
            return _parquet(file)
        case _:
            return _jsonl(file)


def _csv(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        lines = csv.reader(handle)
        names = next(lines, [])
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                yield {_BROKEN: f"it is not CSV ({error})"}
                continue
            if line and len(line) != len(names):
                yield {_BROKEN: f"it has {len(line)} fields where the header names {len(names)} (a comma in a text?)"}
            elif line:
                yield dict(zip(names, line, strict=True))


def _jsonl(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8-sig", errors="replace") as handle:
        for line in handle:
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                record = {_BROKEN: f"it is not JSON ({error})"}
            yield _flat(record) if isinstance(record, dict) else {_BROKEN: "it is not a JSON object"}


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=4096):
            yield from (_flat(record) for record in batch.to_pylist())


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else value
        for name, value in record.items()
    }
