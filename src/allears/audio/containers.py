"""Joined files (`cat a.m4a b.m4a`) in containers that decoders read no further than the first file.

A container is walked by the sizes of its units (boxes, chunks, objects, tags, blocks, or whole files) until the
beginning of a file occurs a second time. What merely trails, such as tags, is no beginning.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_FLV_BEGINS = b"FLV\1"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # that a file may begin with

Unit = tuple[bool, int]  # whether a file begins with it; its bytes, 0 where they are unknown


def second_beginning(descriptor: int) -> int | None:
    """Return the byte at which a second recording begins in a regular file; None if there is none, or it is read."""
    unit_at, size = _walk(os.pread(descriptor, 16, 0)), os.fstat(descriptor).st_size
    at, begun = 0, False
    while unit_at is not None and at < size:
        begins, length = unit_at(descriptor, at)
        if begins and begun:
            return at
        if length <= 0:
            return None  # damaged, or a unit that goes on to the end
        begun = begun or begins
        at += length
    return None


def _walk(head: bytes) -> Callable[[int, int], Unit] | None:
    """Return the function (descriptor, place) -> unit of the container that begins so; None where none is needed."""
    if head[4:8] in _MP4_BOXES:
        return partial(_mp4_box, first=b"ftyp" if head[4:8] == b"ftyp" else b"moov")
    return next((unit_at for magic, unit_at in _UNITS.items() if head.startswith(magic)), None)


def _mp4_box(descriptor: int, at: int, first: bytes) -> Unit:
    """ISO/IEC 14496-12, section 4.2. A file in fragments (`moof`) may repeat its beginning: ffmpeg reads it on."""
    head = os.pread(descriptor, 16, at)
    length = int.from_bytes(head[:4])
    if head[4:8] == b"moof":
        return False, 0
    return head[4:8] == first, int.from_bytes(head[8:16]) if length == 1 else length


def _caf_chunk(descriptor: int, at: int) -> Unit:
    """Apple's Core Audio Format Specification 1.0: a header of 8 bytes, then chunks."""
    head = os.pread(descriptor, 12, at)
    if head.startswith(b"caff"):
        return True, 8
    length = int.from_bytes(head[4:12], signed=True)  # -1: to the end
    return False, 12 + length if length >= 0 else 0


def _rf64_file(descriptor: int, at: int) -> Unit:
    """EBU Tech 3306, section 3: the sizes of more than 32 bits are in the first chunk, `ds64`."""
    head = os.pread(descriptor, 28, at)
    known = head[12:16] == b"ds64"
    return head.startswith(b"RF64"), 8 + int.from_bytes(head[20:28], "little") if known else 0


def _w64_file(descriptor: int, at: int) -> Unit:
    """Sony Wave64: sizes include the 24 bytes before them; chunks begin at multiples of 8."""
    head = os.pread(descriptor, 24, at)
    return head.startswith(_W64_RIFF), -(-int.from_bytes(head[16:24], "little") // 8) * 8


def _asf_object(descriptor: int, at: int) -> Unit:
    """Advanced Systems Format 1.2, section 2.1."""
    head = os.pread(descriptor, 24, at)
    return head.startswith(_ASF_HEADER), int.from_bytes(head[16:24], "little")


def _flv_tag(descriptor: int, at: int) -> Unit:
    """Adobe's Video File Format 10.1, annex E: a header, then tags, each followed by its size in four bytes."""
    head = os.pread(descriptor, 9, at)
    if head.startswith(_FLV_BEGINS):
        return True, int.from_bytes(head[5:9]) + 4
    return False, 11 + int.from_bytes(head[1:4]) + 4 if len(head) == 9 else 0


def _tta_file(descriptor: int, at: int) -> Unit:
    """True Audio 1: a header of 22 bytes, a table of the sizes of all frames, both with a checksum, the frames."""
    head = os.pread(descriptor, 22, at)
    rate_hz, samples = (int.from_bytes(head[begin : begin + 4], "little") for begin in (10, 14))
    if not head.startswith(b"TTA1") or rate_hz == 0:
        return False, _tag_bytes(descriptor, at)
    frames = math.ceil(samples / (256 * rate_hz // 245))
    table = os.pread(descriptor, 4 * frames, at + 22)
    sizes = (int.from_bytes(table[begin : begin + 4], "little") for begin in range(0, len(table), 4))
    return True, 22 + 4 * frames + 4 + sum(sizes)


def _wavpack_block(descriptor: int, at: int) -> Unit:
    """WavPack 4 & 5 Binary File / Block Format: the first block holds sample 0 and is the first of its channels."""
    head = os.pread(descriptor, 32, at)
    if not head.startswith(b"wvpk"):
        return False, _tag_bytes(descriptor, at)
    index = int.from_bytes(head[16:20], "little") | head[10] << 32
    samples, initial = int.from_bytes(head[20:24], "little"), head[25] & 8
    return bool(index == 0 and samples and initial), 8 + int.from_bytes(head[4:8], "little")


def _tag_bytes(descriptor: int, at: int) -> int:
    """Return the bytes of an APE 2.0 tag with a header, or of an ID3v1 tag; 0 where there is none."""
    head = os.pread(descriptor, 24, at)
    if head.startswith(b"TAG"):
        return 128
    has_header = head.startswith(b"APETAGEX") and head[23] & 0x20
    return 32 + int.from_bytes(head[12:16], "little") if has_header else 0


_UNITS: dict[bytes, Callable[[int, int], Unit]] = {
    b"caff": _caf_chunk,
    b"RF64": _rf64_file,
    _W64_RIFF: _w64_file,
    _ASF_HEADER: _asf_object,
    _FLV_BEGINS: _flv_tag,
    b"TTA1": _tta_file,
    b"wvpk": _wavpack_block,
}
