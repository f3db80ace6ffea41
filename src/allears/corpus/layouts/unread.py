"""Tables beside recordings that no reader knows, so that their contents would be dropped.

Only the heads of the first tables are looked at. A column names recordings where most of its values do, as paths, names
or stems. A mere list of files, with digests or durations perhaps, tells nothing that would be missed.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from allears.corpus.layouts.columns import field_of, is_technical, plain_name
from allears.corpus.layouts.files import is_audio, is_file
from allears.corpus.layouts.names import normal
from allears.corpus.layouts.parquet import records_of, schema_of
from allears.corpus.layouts.read import READERS
from allears.corpus.layouts.tables import head_of

_ENDING = re.compile(
    r"\.(csv|tsv|psv|tab|txt|lst|list|scp|ctm|stm|rttm|trn|json|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE
)
_FILES, _HEAD, _ROWS = 64, 64 << 10, 500  # tables looked at; characters and rows of each
_PACKED = 5  # a compressed table is about so many times longer than its file
_MOST = 0.5  # of the values of a column; of the recordings
_SEPARATORS = ("\t", ",", "|", ";")
_DIGEST = re.compile(r"[0-9a-f]{32,128}", re.IGNORECASE)
_NAMING = re.compile(r"file|path|audio|wav|clip|utt|rec|sample|segment|name|key|id", re.IGNORECASE)
_PAIR = re.compile(r'"((?:[^"\\]|\\.){1,400})"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|[-\d.tfn\[{])')
_KEYS = "its keys"
_SHOWN, _COLUMNS = 3, 16  # tables, columns
_Head = Mapping[str, list[str]]  # column → values


@dataclass(frozen=True, slots=True)
class Unread:
    """A table that names recordings: how many of them, by which of its columns; `tells`: something beside."""

    path: str
    named: int
    column: str
    columns: tuple[str, ...]
    tells: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """Files beside the recordings of a folder that are not read: tables that name them, and texts called like one."""

    recordings: int
    tables: tuple[Unread, ...]
    texts: Mapping[str, int]  # ending → files that are called like a recording

    def problem(self) -> str:
        """Return why the folder is not read as recordings alone; empty where no table describes most of them."""
        telling = [table for table in self.tables if table.tells]
        if not self.recordings or sum(table.named for table in telling) < _MOST * self.recordings:
            return ""
        first = max(telling, key=lambda table: table.named)
        return (
            f"{_list(telling, self.recordings)}, and no reader knows such a table: what it tells (columns "
            f"{', '.join(first.columns[:_COLUMNS]) or 'without names'}) would be dropped. {_nearest(first)} To do "
            "without it, give ingest.layout=plain"
        )

    def note(self) -> str:
        """Return a note on what is not read; empty where there is nothing."""
        said = [f"{_list(self.tables, self.recordings)} and is not read"] if self.tables else []
        kinds = ", ".join(f"{count} × .{ending}" for ending, count in self.texts.items())
        said += [f"files called like a recording are not read ({kinds})"] if kinds else []
        return "; ".join(said)


def look_beside(root: Path, recordings: Iterable[str], others: Iterable[str]) -> Beside:
    """Look at the files `others` than recordings below `root`."""
    paths = list(recordings)
    called = {*paths, *(path.rpartition(".")[0] for path in paths)}
    texts: Counter[str] = Counter()
    likely = []
    for path in others:
        if path.rpartition(".")[0] in called:
            texts[path.rpartition(".")[2].lower()] += 1
        elif _ENDING.search(path) or "." not in path.rpartition("/")[2]:
            likely.append(path)
    likely.sort(key=lambda path: path.count("/"))
    stems = {_stem(path) for path in paths}
    found = [table for path in likely[:_FILES] if (table := _look(root, path, stems)) is not None]
    found.sort(key=lambda table: -table.named)
    return Beside(len(paths), tuple(found), dict(texts.most_common(_SHOWN)))


def _look(root: Path, path: str, stems: set[str]) -> Unread | None:
    """Return the table at `path` if it names recordings, or None."""
    if not is_file(root / path):  # a link that leads nowhere
        return None
    heads = _of_parquet(root / path) if path.lower().endswith(".parquet") else _of_text(root / path, stems)
    best: Unread | None = None
    for head, share in heads:
        for column, values in head.items():
            different = {_stem(value) for value in values if value and _names(value, column)}
            named = different & stems
            if named and len(named) >= _MOST * len(different):
                count = min(round(len(named) / share), len(stems))
                if best is None or count > best.named:
                    columns = tuple(name for name in head if not name.isdigit() and _stem(name) not in {*named, _KEYS})
                    best = Unread(path, count, column, columns, _tells(head, named))
    return best


def _tells(head: _Head, named: set[str]) -> bool:
    """Return whether a column holds more than names of recordings, digests and facts about files."""
    for column, values in head.items():
        rest = [value for value in values if value and _stem(value) not in named and not _DIGEST.fullmatch(value)]
        if not is_technical(column) and column != _KEYS and len(rest) > _MOST * len(values) / 2:
            return True
    return False


def _names(value: str, column: str) -> bool:
    """Return whether a value may be a name; a number only in a column that is called like one."""
    return not value.isdigit() or column.isdigit() or column == _KEYS or _NAMING.search(column) is not None


def _stem(value: str) -> str:
    """Return the name in a path, without the ending of a recording."""
    name = normal(value.replace("\\", "/").rpartition("/")[2])
    return name.rpartition(".")[0] if is_audio(name) else name


def _of_text(file: Path, stems: set[str]) -> Iterator[tuple[_Head, float]]:
    """The head of a text table by each of the separators that may be meant, and which share of the file it is."""
    text, whole = head_of(file, _HEAD)
    size = file.stat().st_size * (_PACKED if file.name.lower().endswith(".gz") else 1)
    if re.match(r"\s*[\[{]", text):
        yield _of_json(text), 1.0 if whole else min(1.0, len(text.encode()) / size)
        return
    lines = [line for line in text.splitlines()[: None if whole else -1] if line.strip()]
    whole, lines = whole and len(lines) <= _ROWS, lines[:_ROWS]
    share = 1.0 if whole else min(1.0, len("\n".join(lines).encode()) / size)
    for split in (*map(_splitter, _SEPARATORS), _at_first_space, str.split):
        rows = [[field.strip() for field in split(line)] for line in lines]
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        if width > 1:
            yield _by_column([row for row in rows if len(row) == width], stems), share


def _splitter(separator: str) -> Callable[[str], list[str]]:
    def split(line: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            return []

    return split


def _at_first_space(line: str) -> list[str]:
    return line.split(maxsplit=1)


def _by_column(rows: list[list[str]], stems: set[str]) -> _Head:
    """Columns by the first row where its fields are names of columns, else by their numbers."""
    first, *rest = rows
    has_header = bool(rest) and len(set(first)) == len(first) and not any(
        _stem(field) in stems or field.isdigit() or not field for field in first
    )  # fmt: skip
    names = first if has_header else [str(number) for number in range(len(first))]
    return {name: [row[at] for row in (rest if has_header else rows)] for at, name in enumerate(names)}


def _of_json(text: str) -> _Head:
    """Strings by the names that stand before them, and the names themselves, which may be those of files."""
    found: dict[str, list[str]] = {}
    for key, value in _PAIR.findall(text):
        found.setdefault(_KEYS, []).append(_unescaped(key))
        if len(found) < _ROWS or key in found:
            found.setdefault(key, []).append(_unescaped(value))
    return found


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"')) if "\\" in text else text
    except ValueError:
        return text


def _of_parquet(file: Path) -> Iterator[tuple[_Head, float]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema_of(file)
    names = [] if isinstance(schema, str) else [field.name for field in schema if not pa.types.is_nested(field.type)]
    if not names:
        return
    try:
        with pq.ParquetFile(file) as table:
            batch = next(table.iter_batches(_ROWS, columns=names), None)
            rows = [] if batch is None else [record for record in records_of(batch) if isinstance(record, dict)]
            if rows:
                head = {name: [str(row[name] if row[name] is not None else "") for row in rows] for name in names}
                yield head, len(rows) / table.metadata.num_rows
    except (pa.ArrowException, OSError):
        return


def _nearest(table: Unread) -> str:
    """The layouts whose tables have most columns in common with this one, and what it lacks of them."""
    have = {plain_name(column) for column in table.columns}
    near = []
    for layout, reader in READERS.items():
        missing = [name for name in reader.ABOUT.required if plain_name(name) not in have]
        common = len(have & {plain_name(name) for name in reader.ABOUT.known})
        if common:
            near.append((common, f"{layout} lacks {' and '.join(missing) or 'its place or its name'}"))
    fields = sum(field_of(column) is not None for column in table.columns)
    lacks = "its name" if any(field_of(column) == "file" for column in table.columns) else "file_name"
    how = f"its column '{table.column}' would be that" if table.columns and lacks == "file_name" else "paths from there"
    near.append((fields, f"audiofolder lacks {lacks} (a metadata.csv in the folder, with file_name: {how})"))
    near.sort(key=lambda each: -each[0])
    return f"Nearest layouts: {'; '.join(what for _, what in near[:_SHOWN])}."


def _list(tables: Iterable[Unread], recordings: int) -> str:
    shown = [f"{table.path} (about {table.named})" for table in tables]
    more = f" … ({len(shown)} tables)" if len(shown) > _SHOWN else ""
    return f"{', '.join(shown[:_SHOWN])}{more} names recordings, of {recordings}"
