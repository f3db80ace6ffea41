"""Hugging Face parquet with embedded audio: a struct column `{bytes, path}`, feature types in the schema's metadata.

The audio is never read here: which rows have bytes is told by the statistics of the column, and where those are silent
by its bytes, a few rows at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Asked, Columns, ahead, field_of, match_columns, row_from
from allears.corpus.layouts.files import is_audio, is_file, nearest_level, relative, split_in, unsafe
from allears.corpus.layouts.names import Names
from allears.corpus.layouts.parquet import in_a_line, records_of, schema_of
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.tables import Broken
from allears.storage.containers import parquet_member

ABOUT = About(needs="parquet file with a column of {bytes, path}", free_columns=True)
_LOOKED_AT = 8  # files, to know the layout
_ROWS = 4096
_ROWS_WITH_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a file's schema says: its audio column, the others, and the names of classes by column."""

    audio: str
    others: tuple[str, ...]
    classes: dict[str, list[str]]


def files(root: Path) -> list[Path]:
    """All parquet files of the nearest folders where one of the first has embedded audio.

    Three levels down: a cache of the hub is `datasets--NAME/snapshots/REVISION/data`, and its files are links within.
    """
    folders = nearest_level(root, lambda folder: any(_embeds(file) for file in _parquets(folder)[:_LOOKED_AT]), depth=3)
    return [file for folder in folders for file in _parquets(folder)]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = files(root)
    return f"there is {relative(found[0], root)} with embedded audio ({len(found)} parquet files)" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the reading of the first file's columns; CorpusError when the label asked for is none of them."""
    shapes = (shape for file in files(root) if isinstance(shape := _shape(file), _Shape))
    return _columns(next(shapes, _Shape("audio", (), {})), asked, str(root))


def rows(root: Path, asked: Asked) -> Rows:
    """One row a row. Without bytes it is the file beside the table that its path names, where there is one."""
    import pyarrow as pa

    for file in files(root):
        shape = _shape(file)
        name = relative(file, root)
        if isinstance(shape, str):
            yield Reject(name=name, path=name, reason="malformed_table", message=f"{name}: {shape}")
            continue
        columns = _columns(shape, asked, str(root))
        split = split_in(file.stem) or split_in(file.parent.name)
        try:
            for group, row, record, inside in _records(file, shape):
                yield _row(root, file, shape, (group, row, inside), record, columns, split)
        except (pa.ArrowException, OSError) as error:  # a page that is not what it says
            why = f"{name}: breaks off ({in_a_line(error)})"
            yield Reject(name=name, path=name, reason="malformed_table", message=why)


def _row(
    root: Path, file: Path, shape: _Shape, at: tuple[int, int, bool], record: dict[str, Any] | Broken, columns: Columns,
    split: str | None,
) -> Row | Reject:  # fmt: skip
    group, number, inside = at
    member = parquet_member(shape.audio, group, number)
    where = f"{relative(file, root)} row {member}"
    if isinstance(record, Broken):
        why = f"{where}: {record.why}"
        return Reject(name=where, path=relative(file, root), reason="malformed_line", message=why)
    audio = record.pop(shape.audio, None) or {}
    told = str(audio.get("path") or "")
    for name, names in shape.classes.items():
        values = record.get(name)
        known = [_class(value, names) for value in (values if isinstance(values, list) else [values])]
        record[name] = known if isinstance(values, list) else known[0]
    row = row_from(ahead({"audio_path": told}, record), columns)
    about = row.attributes | ({"audio_path": told} if told else {})
    row = replace(row, name=told or where, split=row.split or split, attributes=about)
    if inside:
        return replace(row, path=relative(file, root), member=member)
    beside = _beside(file, told)
    if beside is not None:
        return replace(row, path=relative(beside, root))
    why = f"it has no bytes, and '{told}' is no file beside it" if told else "it has neither bytes nor a path"
    return Reject(name=row.name, path=relative(file, root), reason="no_audio_entry", message=f"{where}: {why}")


def _class(value: Any, names: list[str]) -> str | None:
    # pandas makes floats of a column of whole numbers where some are null
    at = int(value) if isinstance(value, float) and value.is_integer() else value
    return names[at] if isinstance(at, int) and 0 <= at < len(names) else None


def _beside(file: Path, told: str) -> Path | None:
    """The recording that a row without bytes names, below its table's folder."""
    if not told or unsafe(told) is not None:
        return None
    names = Names(file.parent)
    found = names.find(told) if names.to_find(told) else [told]
    path = file.parent / found[0] if len(found) == 1 else None
    return path if path is not None and is_audio(path.name) and is_file(path) else None


def _records(file: Path, shape: _Shape) -> Iterator[tuple[int, int, dict[str, Any] | Broken, bool]]:
    """Row group, row in it, record, and whether it has bytes."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        names = table.schema_arrow.field(shape.audio).type
        wanted = [*shape.others, *([f"{shape.audio}.path"] if names.get_field_index("path") >= 0 else [])]
        for group in range(table.num_row_groups):
            inside = _has_bytes(table, group, shape.audio)
            number = 0
            for batch in table.iter_batches(_ROWS, row_groups=[group], columns=wanted):
                for record in records_of(batch) if wanted else ({} for _ in range(len(batch))):
                    yield group, number, record, next(inside, False)
                    number += 1


def _has_bytes(table: Any, group: int, audio: str) -> Iterator[bool]:
    import pyarrow.compute as pc

    about = table.metadata.row_group(group)
    leaf = next(about.column(i) for i in range(about.num_columns) if about.column(i).path_in_schema == f"{audio}.bytes")
    nulls = leaf.statistics.null_count if leaf.statistics is not None and leaf.statistics.has_null_count else None
    if nulls in (0, about.num_rows):
        yield from (nulls == 0 for _ in range(about.num_rows))
        return
    for batch in table.iter_batches(_ROWS_WITH_BYTES, row_groups=[group], columns=[f"{audio}.bytes"]):
        yield from pc.struct_field(batch.column(0), "bytes").is_valid().to_pylist()


def _columns(shape: _Shape, asked: Asked, where: str) -> Columns:
    """A class that names nothing else is the label, as `datasets` declares it."""
    columns = match_columns([*shape.others, "audio_path"], asked, where, guess=False)
    classes = [name for name in shape.classes if field_of(name) in (None, "file")]
    if asked.label is None and not columns.label and len(classes) == 1:
        why = f"column '{classes[0]}' is the label, as the only list of classes"
        return replace(columns, label=(classes[0],), why=why)
    return columns


def _shape(file: Path) -> _Shape | str:
    """What a file holds, or why it cannot be used."""
    import pyarrow as pa

    schema = schema_of(file)
    if isinstance(schema, str):
        return schema
    features = _features(schema)
    structs = [f.name for f in schema if pa.types.is_struct(f.type) and _holds_bytes(f.type)]
    declared = [name for name in structs if features.get(name, {}).get("_type") == "Audio"]
    audio = next(iter(declared or structs), None)
    if audio is None:
        return "it has no column of {bytes, path}"
    every = {name: _element(of) for name, of in features.items()}
    classes = {
        name: [str(each) for each in of["names"]]
        for name, of in every.items()
        if of.get("_type") == "ClassLabel" and isinstance(of.get("names"), list)
    }
    return _Shape(audio, tuple(name for name in schema.names if name not in structs), classes)


def _element(feature: dict[str, Any]) -> dict[str, Any]:
    """The feature; of a list of one kind, that of its elements."""
    inner = feature.get("feature")
    return inner if feature.get("_type") in ("Sequence", "List") and isinstance(inner, dict) else feature


def _holds_bytes(struct: Any) -> bool:
    """Whether a struct has a field `bytes` that can hold a recording; in one of text there is none."""
    import pyarrow as pa

    at = struct.get_field_index("bytes")
    return at >= 0 and not pa.types.is_string(struct.field(at).type)


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}
    return (
        {str(name): of for name, of in features.items() if isinstance(of, dict)} if isinstance(features, dict) else {}
    )


def _parquets(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def _embeds(file: Path) -> bool:
    return isinstance(_shape(file), _Shape)
