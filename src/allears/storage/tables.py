"""Tables: digest, and parquet written atomically."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from allears.storage.files import atomic_path


def table_digest(table: pd.DataFrame) -> str:
    """sha256 of a table's column names, types and values, row order included, index ignored."""
    digest = hashlib.sha256()
    for name in table.columns:
        digest.update(f"{name}:{table[name].dtype}".encode())
        digest.update(pd.util.hash_pandas_object(table[name], index=False).to_numpy().tobytes())
    return digest.hexdigest()


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, what is missing as None: a column at a time, as a look at each value costs the most."""
    columns: list[list[Any]] = [_objects(table[name]) for name in table.columns]
    names = [str(name) for name in table.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _objects(column: Any) -> list[Any]:  # pandas-stubs knows no None for `na_value`
    found: list[Any] = column.to_numpy(dtype=object, na_value=None).tolist()
    return found


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Atomically replace `path` with `table`."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
