"""Which tars are merged: a small table beside the index, which the writer reads when it deals clips to tars.

The writer deals each clip a tar number from its delivery and its place there (`writer.deal`), so many small deliveries
leave many small tars, and withdrawals leave small ones. A repack merges neighbours: the numbers 3 to 6 become one tar,
which has the name of number 3. `packing.json` notes such ranges, and nothing of what is in them:

    {"deliveries": [[64.0, 8.0], …], "together": [[3, 6], …]}

`deliveries` are the seconds of a tar and the number of tars that each delivery was dealt. Numbers of a later delivery
come behind them, so it only adds tars; a withdrawal rewrites a merged tar as any other; with other parameters the
deliveries are dealt otherwise, and the table, which then speaks of tars that are no more, is not used.

Only neighbours are merged, so the clips keep their order: the index lists them as before, label sidecars move row by
row, and the table of clips stays as it is. Any two neighbouring tars hold more than the target together, so there are
at most twice as many tars as the target asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allears.errors import StorageError
from allears.storage.files import read_json, write_json

NAME = "packing.json"
Dealt = tuple[tuple[float, float], ...]  # a delivery: seconds of a tar, tars


@dataclass(frozen=True, slots=True)
class Packing:
    """Ranges of tar numbers (both ends included, ascending, apart) that are one tar each, as `dealt`."""

    dealt: Dealt
    together: tuple[tuple[int, int], ...] = ()

    def number(self, dealt_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tar number of each clip [N] from the one that it was dealt."""
        if not self.together:
            return dealt_N
        first_R, last_R = np.asarray(self.together, dtype=np.int64).T
        range_N = np.searchsorted(first_R, dealt_N, side="right") - 1
        inside_N = (range_N >= 0) & (dealt_N <= last_R[range_N])
        return np.where(inside_N, first_R[range_N], dealt_N)


def read_packing(folder: Path, dealt: Dealt) -> Packing:
    """The packing of the shards in `folder`; one that merges nothing where there is none, or of another deal.

    StorageError when it cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return Packing(dealt)
    value = read_json(path)
    try:
        was = tuple((float(seconds), float(tars)) for seconds, tars in value["deliveries"])
        together = tuple((int(first), int(last)) for first, last in value["together"])
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{path} is no packing of shards ({error}): delete it and run `kedro run --pipeline shard`, which writes "
            "the merged tars anew; `allears shards repack` merges them again"
        ) from error
    return Packing(dealt, together if dealt[: len(was)] == was else ())


def write_packing(folder: Path, packing: Packing) -> None:
    """Decide it: from now on the writer makes these tars."""
    together = [list(pair) for pair in packing.together]
    write_json(folder / NAME, {"deliveries": [list(one) for one in packing.dealt], "together": together})


def merged(packing: Packing, numbers: Sequence[int], sizes: Sequence[int], most: float) -> Packing:
    """`packing` with neighbours merged as long as they hold at most `most` bytes together.

    `numbers` are those of the tars that there are, ascending, `sizes` the bytes of audio in each.
    """
    last_of = dict(packing.together)
    ranges: list[tuple[int, int]] = []
    held = 0
    for number, size in zip(numbers, sizes, strict=True):
        last = last_of.get(number, number)
        if ranges and held + size <= most:
            ranges[-1], held = (ranges[-1][0], last), held + size
        else:
            ranges.append((number, last))
            held = size
    return Packing(packing.dealt, tuple((first, last) for first, last in ranges if last > first))
