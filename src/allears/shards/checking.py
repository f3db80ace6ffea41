"""Compare every byte of the shards with what was noted: the audio with the index, the rest with the index parts."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from allears.engine.threads import in_threads
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index, read_notes, read_part
from allears.shards.jobs import part_of
from allears.shards.tar import BLOCK, HEADER, rest_crc32


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a tar, at a clip. `offset`: of the clip's FLAC in the tar, bytes."""

    shard: str
    clip: str
    offset: int
    found: str

    def __str__(self) -> str:
        return f"{self.shard}, clip {self.clip}, offset {self.offset}: {self.found}"


def check_shards(shard_set: ShardSet, workers: int | None = None) -> Iterator[Damage]:
    """All that is wrong, in the order of the index; every clip of every tar is read.

    Raises StaleError when the index is of other shards, StorageError when it cannot be read.
    """
    index = read_index(shard_set)
    check = partial(check_tar, shard_set.folder, index)
    for found in in_threads(check, range(len(index.shards)), title="Reading shards", workers=workers):
        yield from found


def check_tar(folder: Path, index: Index, shard: int) -> list[Damage]:
    """What is wrong with tar number `shard` of the index. Memory: one clip."""
    name, places_n = index.shards[shard], index.places_of(shard).tolist()
    first = places_n[0]
    try:
        with (folder / name).open("rb", buffering=0) as file:
            return list(_damages(folder / name, file.fileno(), index, places_n))
    except FileNotFoundError:
        found = f"the tar is missing, with {len(places_n)} clips, of which this is the first"
    except OSError as error:
        found = f"the tar cannot be read ({error.strerror or error}); it has {len(places_n)} clips, this is the first"
    return [Damage(name, index.clips[first], int(index.offset_N[first]), found)]


def _damages(tar: Path, file: int, index: Index, places_n: list[int]) -> Iterator[Damage]:
    size, rest = os.fstat(file).st_size, _noted_rest(tar)
    ends = [int(index.offset_N[place]) - HEADER for place in places_n[1:]]
    cut: list[int] = []
    for place, end in zip(places_n, [*ends, None], strict=True):
        clip, offset, length = index.clips[place], int(index.offset_N[place]), int(index.length_N[place])
        if offset + length > size:
            cut.append(place)
        elif hashlib.sha256(os.pread(file, length, offset)).hexdigest() != index.sha256[place]:
            yield Damage(tar.name, clip, offset, f"the {length} bytes of its FLAC are others than those of the index")
        else:
            until = end if end is not None else _end(file, offset + length)
            same = rest_crc32(file, offset, length, until) == rest.get(clip)
            filled = end is not None or (until <= size and not any(os.pread(file, size - until, until)))
            if (clip in rest and not same) or not filled:
                yield Damage(tar.name, clip, offset, "its FLAC is whole, but its tar headers or its snapshot are not")
    noted = read_notes(part_of(tar)).get("bytes", str(size))
    if cut:
        found = f"the tar ends at byte {size}: {len(cut)} of {len(places_n)} clips are cut, of which this is the first"
        yield Damage(tar.name, index.clips[cut[0]], int(index.offset_N[cut[0]]), found)
    elif noted != str(size):
        found = f"the tar has {size} bytes, expected {noted}; this clip, its last one, is whole"
        yield Damage(tar.name, index.clips[places_n[-1]], int(index.offset_N[places_n[-1]]), found)


def _end(file: int, after_flac: int) -> int:
    """Where the last clip of a tar ends: behind its snapshot, of which the header tells the length."""
    header = after_flac + -after_flac % BLOCK
    try:
        length = tarfile.TarInfo.frombuf(os.pread(file, HEADER, header), "utf-8", "strict").size
    except tarfile.HeaderError:
        length = 0  # what follows is then taken for filling, and is not zeros
    return header + HEADER + length + -length % BLOCK


def _noted_rest(tar: Path) -> Mapping[str, int]:
    """Clip → CRC of its bytes beside the FLAC; without those of which nothing is noted."""
    rows = read_part(part_of(tar)) or ()
    return {row["clip"]: row["rest_crc32"] for row in rows if row["rest_crc32"] is not None}
