"""Other people's parquet tables: one that is too wide or none is refused, and an odd value costs its own row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allears.corpus.layouts.tables import Broken

MAX_COLUMNS = 4096
_MAX_FOOTER_BYTES = 1 << 26


def schema_of(file: Path) -> Any:
    """Its pyarrow schema, or a sentence on why it is refused."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if (size := footer_bytes(file)) > _MAX_FOOTER_BYTES:
            return f"its description alone is {size:,} bytes: it has too many columns"
        schema = pq.read_schema(file)
        names = schema.names
    except (pa.ArrowException, OSError) as error:
        return f"it is no parquet file, or breaks off ({in_a_line(error)}): copy it again"
    except UnicodeDecodeError as error:
        return f"a column's name is not UTF-8 ({in_a_line(error)}): write it again"
    if len(names) > MAX_COLUMNS:
        return f"it has {len(names):,} columns, at most {MAX_COLUMNS:,} are read: keep those that describe a clip"
    return schema


def footer_bytes(file: Path) -> int:
    """How long a parquet file's description says it is. Raises OSError when it is no parquet file."""
    with file.open("rb") as handle:
        handle.seek(-8, 2)
        length, mark = int.from_bytes(handle.read(4), "little"), handle.read(4)
    if mark != b"PAR1":
        raise OSError("it does not end like one")
    return length


def records_of(batch: Any) -> Iterator[dict[str, Any] | Broken]:
    """Each row of a pyarrow batch; one with a value that cannot be one (a string that is not UTF-8, a date beyond all
    calendars) is broken.
    """
    try:
        found: list[dict[str, Any] | Broken] = batch.to_pylist()
    except (ValueError, OverflowError, LookupError):
        found = [_record(batch, row) for row in range(len(batch))]
    yield from found


def in_a_line(error: Exception) -> str:
    """What pyarrow says on several lines."""
    return " ".join(str(error).split())


def _record(batch: Any, row: int) -> dict[str, Any] | Broken:
    record: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[row].as_py()
        except (ValueError, OverflowError, LookupError) as error:  # LookupError: a time zone that nobody knows
            return Broken(f"its {name} cannot be read ({in_a_line(error)})")
    return record
