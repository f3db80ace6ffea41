"""What training knows of each clip in the shards: split, labels, texts, weights. Read without pandas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from allears.errors import ConfigError, nearest
from allears.storage.files import storage_error


@dataclass(frozen=True, slots=True)
class ClipTable:
    """Columns of equal length, one entry a clip, in the order of the file (the index's order)."""

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.columns["clip"])

    def column(self, name: str) -> list[Any]:
        """All values of a column; None is unknown. ConfigError lists the columns there are."""
        if name not in self.columns:
            valid = ", ".join(self.columns)
            raise ConfigError(
                f"there is no column '{name}' in the table of clips{nearest(name, self.columns)} It has: {valid}"
            )
        return self.columns[name]


def read_clips(path: Path) -> ClipTable:
    """The table of clips that `shard` wrote."""
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise storage_error(path, error) from error
    return ClipTable({name: table[name].to_pylist() for name in table.column_names})
