"""Ogg recordings put one after the other in one file (`cat a.ogg b.ogg`, a radio stream): libsndfile stops where the
first one ends, and its header knows nothing of the others. Found by page headers; nothing is decoded.

When in doubt a file counts as joined: ffmpeg then reads all of it, which is slower and as right. MP3: see `mpeg.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from allears.errors import AudioError

_OGG_PAGE = re.compile(rb"OggS\0([\0-\7])")  # RFC 3533, section 6: version 0, then flags
_BEGINS = 2  # the flag of a stream's first page
_BLOCK = 1 << 20
_OGG_PAGE_BYTES = 65_307  # at most
_OPUS_HEAD = 128  # bytes in which the first page's header and OpusHead lie
_OPUS_CLOCK_HZ = 48_000


def is_joined(descriptor: int, name: str) -> bool:
    """Tell whether a regular file holds more than one Ogg recording, one after the other.

    Raises AudioError `undecodable` when they differ so that no decoder reads more than the first.
    """
    begin = after_id3(os.pread(descriptor, 10, 0))
    if os.pread(descriptor, 4, begin) != b"OggS":
        return False
    first: set[bytes] = set()  # streams that begin together are one recording
    under_way = joined = False
    for place, flags in _ogg_pages(descriptor, begin):
        if not flags & _BEGINS:
            under_way = True
        elif not under_way:
            first.add(_stream_kind(descriptor, place))
        elif _stream_kind(descriptor, place) in first:
            joined = True
        else:
            raise AudioError(
                "undecodable",
                f"{name}: it joins recordings of other codecs, sample rates or channels, of which only the first can "
                "be read: split it at its parts",
            )
    return joined


def _stream_kind(descriptor: int, page: int) -> bytes:
    """Return what the first packet of a stream says of its codec, channels and sample rate."""
    head = os.pread(descriptor, _OPUS_HEAD, page)
    packet = head[27 + head[26] :] if len(head) > 27 else b""
    if packet.startswith(b"\1vorbis"):
        return packet[:16]  # Vorbis I, section 4.2.2: version, channels, rate
    return packet[:10] if packet.startswith(b"OpusHead") else packet[:5]


def opus_starts_late(descriptor: int, samples: int, rate_hz: int) -> bool:
    """Tell whether the clock of an Ogg Opus file with so many samples starts later than 0: it was cut from a stream.

    libsndfile seeks beside the sample in these. Clock and pre-skip: RFC 7845, sections 4 and 5.1.
    """
    head = os.pread(descriptor, _OPUS_HEAD, after_id3(os.pread(descriptor, 10, 0)))
    place = head.find(b"OpusHead")
    tail = os.pread(descriptor, _OGG_PAGE_BYTES, max(os.fstat(descriptor).st_size - _OGG_PAGE_BYTES, 0))
    page = tail.rfind(b"OggS")
    if place < 0 or page < 0:
        return False
    skipped = int.from_bytes(head[place + 10 : place + 12], "little")
    end = int.from_bytes(tail[page + 6 : page + 14], "little")
    return abs(end - skipped - samples * _OPUS_CLOCK_HZ // rate_hz) > _OPUS_CLOCK_HZ // 1000


def _ogg_pages(descriptor: int, begin: int) -> Iterator[tuple[int, int]]:
    """Yield place and flags of each page; no page is looked up by the length of the one before, which may lie."""
    rest = b""
    while block := os.pread(descriptor, _BLOCK, begin):
        start = begin - len(rest)
        begin += len(block)
        block = rest + block
        yield from ((start + page.start(), page[1][0]) for page in _OGG_PAGE.finditer(block))
        rest = block[-5:]  # one byte less than a page is found by


def after_id3(head: bytes) -> int:
    """Return where the audio begins: behind an ID3v2 tag (id3.org, section 3.1: its size in four times seven bits)."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    size = 0
    for seven in head[6:10]:
        size = size << 7 | seven & 0x7F
    return 10 + size
