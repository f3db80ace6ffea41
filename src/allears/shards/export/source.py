"""What an export is made of: clips by split, and the pieces that are written one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from allears.frames import to_seconds
from allears.shards.clips import ClipTable
from allears.shards.reader import ShardReader

Format = Literal["lhotse", "nemo", "hf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The clips to export: `splits` → their places in the index, in its order."""

    reader: ShardReader
    table: ClipTable
    splits: dict[str, NDArray[np.int64]]

    def known(self, place: int, names: tuple[str, ...]) -> dict[str, Any]:
        """The columns of the table of clips that are known of the clip at `place`."""
        row = self.table.row(place)
        return {name: row[name] for name in names if row.get(name) is not None}

    def seconds(self, place: int) -> float:
        """How long the clip is."""
        return to_seconds(int(self.reader.index.samples_N[place]), self.reader.shard_set.sample_rate_hz)


class Piece(NamedTuple):
    """A file (or a folder of files) of an export, by its path in it; `write` gets the path where it is to appear."""

    file: str
    write: Callable[[Path], None]
