"""Tables: digest, and parquet written atomically."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from allears.storage.files import atomic_path


def table_digest(table: pd.DataFrame) -> str:
    """sha256 of a table's column names, types and values, row order included, index ignored."""
    digest = hashlib.sha256()
    for name in table.columns:
        digest.update(f"{name}:{table[name].dtype}".encode())
        digest.update(pd.util.hash_pandas_object(table[name], index=False).to_numpy().tobytes())
    return digest.hexdigest()


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Atomically replace `path` with `table`."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
