"""Recordings put one after the other in one file (`cat a.mp3 b.mp3`, a radio stream's chained Ogg): libsndfile stops
where the first one ends, and the header knows nothing of the others. Told by the bytes; nothing is decoded.

When in doubt a file counts as joined: ffmpeg then reads all of it, which is slower and as right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_OGG_PAGE = re.compile(rb"OggS\0([\0-\7])")  # RFC 3533, section 6: version 0, then flags
_BEGINS = 2  # the flag of a stream's first page
_BLOCK = 1 << 20
_MP3_FRAME = 2_881  # bytes at most
_MP3_REST = 8_192  # what tags may take behind the audio; a second of music has more


def is_joined(descriptor: int) -> bool:
    """Whether a regular file holds more than one recording, one after the other."""
    begin = _after_id3(os.pread(descriptor, 10, 0))
    head = os.pread(descriptor, 2 * _MP3_FRAME, begin)
    if head.startswith(b"OggS"):
        return _is_chained(_ogg_flags(descriptor, begin))
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # an MP3 frame
        counted = _counted_bytes(head)
        return counted is not None and begin + counted + _MP3_REST < os.fstat(descriptor).st_size
    return False


def _is_chained(flags: Iterator[int]) -> bool:
    """Whether a stream begins once the first ones are under way; those that begin together are one recording."""
    under_way = False
    for each in flags:
        if each & _BEGINS and under_way:
            return True
        under_way = under_way or not each & _BEGINS
    return False


def _ogg_flags(descriptor: int, begin: int) -> Iterator[int]:
    """The flags of each page; no page is looked up by the length of the one before, which may lie."""
    rest = b""
    while block := os.pread(descriptor, _BLOCK, begin):
        begin += len(block)
        block = rest + block
        yield from (page[1][0] for page in _OGG_PAGE.finditer(block))
        rest = block[-5:]  # one byte less than what a page is told by


def _counted_bytes(head: bytes) -> int | None:
    """The bytes that an MP3's first frame says its file has (Xing's note, which LAME and ffmpeg write too), if any."""
    note = max(head.find(b"Xing"), head.find(b"Info"))
    if note < 0 or len(head) < note + 16:
        return None
    flags = int.from_bytes(head[note + 4 : note + 8])
    place = note + 8 + (4 if flags & 1 else 0)  # behind the number of frames, where that is noted
    return int.from_bytes(head[place : place + 4]) if flags & 2 else None


def _after_id3(head: bytes) -> int:
    """Where the audio begins: behind an ID3v2 tag (id3.org, section 3.1: its size in four times seven bits)."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    size = 0
    for seven in head[6:10]:
        size = size << 7 | seven & 0x7F
    return 10 + size
