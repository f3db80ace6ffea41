"""Every kind of damage to a tar is found, and named by shard, key and offset."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from allears.errors import StaleError
from allears.shards.checking import check_shards
from allears.shards.handle import ShardSet
from allears.shards.index import join_parts, read_index, write_part
from allears.shards.jobs import PARTS
from allears.shards.tar import HEADER, write_tar
from tests.support import RATE_HZ, sounds_of


@pytest.fixture
def shard_set(tmp_path: Path) -> ShardSet:
    parts = []
    for number in range(3):
        tar = tmp_path / f"tiny-{number:06d}.tar"
        parts.append(tmp_path / PARTS / f"{tar.stem}.parquet")
        rows = write_tar(tar, sounds_of(4, seconds=0.05, seed=number, name=f"tar{number}"), RATE_HZ)
        write_part(parts[-1], rows, {"bytes": str(tar.stat().st_size)})
    return join_parts(tmp_path, parts)


def test_whole_shards_have_no_damage(shard_set: ShardSet) -> None:
    assert list(check_shards(shard_set)) == []
    with pytest.raises(StaleError, match="is the index of shards"):
        list(check_shards(replace(shard_set, digest="0" * 64)))


def test_a_flipped_bit_is_found_wherever_it_is(shard_set: ShardSet) -> None:
    index = read_index(shard_set)
    tar = shard_set.folder / index.shards[1]
    data = tar.read_bytes()
    places = index.places_of(1).tolist()
    starts = [int(index.offset_N[place]) - HEADER for place in places]
    for at in [*range(0, len(data), 331), len(data) - 1]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        tar.write_bytes(damaged)
        (found,) = check_shards(shard_set, workers=1)
        clip = places[sum(at >= start for start in starts) - 1]
        assert (found.shard, found.clip) == (tar.name, index.clips[clip]), at
        assert found.offset == index.offset_N[clip]
        in_flac = 0 <= at - found.offset < index.length_N[clip]
        assert ("of its FLAC are others" in found.found) == in_flac
    tar.write_bytes(data)
    assert list(check_shards(shard_set)) == []


def test_what_is_cut_missing_or_grown_is_found(shard_set: ShardSet) -> None:
    index = read_index(shard_set)
    first, second, third = (shard_set.folder / name for name in index.shards)
    keys = [[index.clips[place] for place in index.places_of(number).tolist()] for number in range(3)]
    offsets = [[int(index.offset_N[place]) for place in index.places_of(number).tolist()] for number in range(3)]
    first.unlink()
    os.truncate(second, offsets[1][2] + 10)
    with third.open("ab") as file:
        file.write(b"\0" * 512)
    found = [str(one) for one in check_shards(shard_set)]
    where = [f"{path.name}, clip {keys[tar][clip]}, offset {offsets[tar][clip]}: " for path, tar, clip in (
        (first, 0, 0), (second, 1, 2), (third, 2, 3),
    )]  # fmt: skip
    size = third.stat().st_size
    assert found == [
        f"{where[0]}the tar is missing, with 4 clips, of which this is the first",
        f"{where[1]}the tar ends at byte {offsets[1][2] + 10}: 2 of 4 clips are cut, of which this is the first",
        f"{where[2]}the tar has {size} bytes, expected {size - 512}; this clip, its last one, is whole",
    ]
    second.write_bytes(b"")
    assert "4 of 4 clips are cut" in [str(one) for one in check_shards(shard_set)][1]
    third.unlink()
    third.mkdir()
    assert "the tar cannot be read (Is a directory)" in [str(one) for one in check_shards(shard_set)][2]


@pytest.mark.parametrize("behind", [0, 100, 1024])
def test_what_is_cut_behind_the_last_flac_is_named_at_the_last_clip(shard_set: ShardSet, behind: int) -> None:
    index = read_index(shard_set)
    tar = shard_set.folder / index.shards[2]
    os.truncate(tar, int(index.offset_N[-1] + index.length_N[-1]) + behind)
    places = index.places_of(2).tolist()
    data = bytearray(tar.read_bytes())
    data[int(index.offset_N[places[0]]) + 9] ^= 2  # what else is wrong is found all the same
    tar.write_bytes(data)
    found = list(check_shards(shard_set))
    assert [one.clip for one in found] == [index.clips[places[0]], *[index.clips[-1]] * (len(found) - 1)]
    assert len(found) >= 2
    assert "cannot be read" not in " ".join(one.found for one in found)


def test_shards_without_notes_are_checked_by_their_index(shard_set: ShardSet) -> None:
    for part in (shard_set.folder / PARTS).iterdir():
        part.unlink()
    assert list(check_shards(shard_set)) == []
    index = read_index(shard_set)
    tar = shard_set.folder / index.shards[2]
    data = bytearray(tar.read_bytes())
    data[int(index.offset_N[-1]) + 50] ^= 4
    tar.write_bytes(data)
    assert [one.clip for one in check_shards(shard_set)] == [index.clips[-1]]
