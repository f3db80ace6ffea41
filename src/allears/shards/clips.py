"""What training knows of each clip in the shards: split, labels, texts, weights. Read without pandas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from allears.errors import ConfigError, nearest
from allears.storage.files import storage_error


@dataclass(frozen=True, slots=True)
class ClipTable:
    """Columns of equal length, one entry a clip, in the order of the file (the index's order)."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns."""
        return tuple(self.table.column_names)

    def column(self, name: str) -> list[Any]:
        """All values of a column; None is unknown. ConfigError lists the columns there are."""
        values: list[Any] = self.arrow(name).to_pylist()
        return values

    def arrow(self, name: str) -> pa.ChunkedArray:
        """As `column`, without an object for each value."""
        if name not in self.names:
            valid = ", ".join(self.names)
            raise ConfigError(
                f"there is no column '{name}' in the table of clips{nearest(name, self.names)} It has: {valid}"
            )
        return self.table[name]

    def row(self, place: int) -> dict[str, Any]:
        """All that is known of one clip: column → value."""
        (values,) = self.table.slice(place, 1).to_pylist()
        return dict(values)


def read_clips(path: Path) -> ClipTable:
    """The table of clips that `shard` wrote."""
    try:
        return ClipTable(pq.read_table(path))
    except OSError as error:
        raise storage_error(path, error) from error
