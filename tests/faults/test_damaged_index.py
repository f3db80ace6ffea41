"""One bit of the index flipped, or its end cut off: said, or of no consequence; never other clips without a word."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from allears.errors import StaleError, StorageError
from allears.shards.index import Index, read_index
from tests.long import LONG, report
from tests.support import make_shards

EVERY = 1 if LONG else 29  # bytes


def same(one: Index, other: Index) -> bool:
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(Index)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def test_a_flipped_bit_changes_no_clip_without_a_word(tmp_path: Path) -> None:
    shard_set, _ = make_shards(tmp_path, clips=12, seconds=0.2)
    path, whole = shard_set.index_path, read_index(shard_set)
    data = path.read_bytes()
    said = flips = 0
    for place in range(0, len(data), EVERY):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        flips += 1
        try:
            found = read_index(shard_set)
        except (StaleError, StorageError):
            said += 1
            continue
        assert same(found, whole), place
    assert said > flips / 2
    report("index: one bit flipped, of each byte in turn", f"{flips} times; {said} refused, the others the same rows")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_an_index_that_was_cut_off_is_made_again_by_the_shard_pipeline(tmp_path: Path, kept: float) -> None:
    shard_set, _ = make_shards(tmp_path, clips=12, seconds=0.2)
    path = shard_set.index_path
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(StorageError, match=r"index\.parquet cannot be read .*delete it and run .kedro run"):
        read_index(shard_set)
