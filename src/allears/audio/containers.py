"""Files joined by `cat` in containers, of which a header, or a decoder, knows only the first.

A container is walked by the sizes of its units (boxes, chunks, objects, tags, blocks, or whole files) until the
beginning of a file occurs a second time. Trailing data such as tags are ignored.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Mapping

import numpy as np

from allears.audio.joined import after_id3

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_FLV_HEADER = b"FLV\1"
_VOC_HEADER = b"Creative Voice File\x1a"
_NUT_FILE_ID = b"nut/multimedia container\0"
_RIFFS = (b"RIFF", b"RF64", b"BW64")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # that a file may begin with
_MOST_UNITS = 1_000_000
_MOST_TTA_FRAMES = 1 << 20  # twelve days
_MOST_MOOF_BYTES = 1 << 16

Unit = tuple[bool, int]  # whether a file begins with it; its bytes, 0 where they are unknown
ReadUnit = Callable[[int, int], Unit]  # of a descriptor, at a byte


def second_beginning(descriptor: int) -> int | None:
    """Return the byte at which a second recording begins that no decoder reads; None where there is none."""
    begin = after_id3(os.pread(descriptor, 10, 0))
    head = os.pread(descriptor, len(_NUT_FILE_ID), begin)
    if head[4:8] in _MP4_BOXES:
        return _second_mp4(descriptor, begin)
    if head == _NUT_FILE_ID:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            found = data.find(_NUT_FILE_ID, begin + 1)
        return None if found < 0 else found
    return _second(descriptor, begin, head, _FIRST_IS_READ)


def is_read_on(descriptor: int) -> bool:
    """Return whether a second recording follows that ffmpeg reads, though the header does not count it."""
    return _second(descriptor, 0, os.pread(descriptor, 16, 0), _ALL_IS_READ) is not None


def _second(descriptor: int, begin: int, head: bytes, readers: Mapping[bytes, ReadUnit]) -> int | None:
    read_unit = next((reader for magic, reader in readers.items() if head.startswith(magic)), None)
    if read_unit is None:
        return None
    size, at, begun = os.fstat(descriptor).st_size, begin, False
    for _ in range(_MOST_UNITS):
        if at >= size:
            break
        begins, length = read_unit(descriptor, at)
        if begins and begun:
            return at
        if length <= 0:
            break  # damaged, or a unit that goes on to the end
        begun = begun or begins
        at += length
    return None


def _second_mp4(descriptor: int, begin: int) -> int | None:
    """ISO/IEC 14496-12, section 4.2. Streams in fragments (`moof`) repeat `ftyp` and `moov`: ffmpeg reads on where the
    clock goes on, and loses audio where it begins anew.
    """
    size, at = os.fstat(descriptor).st_size, begin
    seen: set[bytes] = set()
    whole_at = second = clock = None
    for _ in range(_MOST_UNITS):
        head = os.pread(descriptor, 16, at)
        kind, length = head[4:8], int.from_bytes(head[:4])
        length = int.from_bytes(head[8:16]) if length == 1 else length or size - at
        if at >= size or length < 8:
            break
        if kind in seen and kind in (b"ftyp", b"moov") and second is None:
            second = at if kind == b"ftyp" else whole_at or at
        if kind == b"moof":
            time = _fragment_time(descriptor, at, length)
            if second is not None and (clock is None or time is None or time <= clock):
                return second
            second, clock = None, time
        seen.add(kind)
        at += length
        if whole_at is None and {b"moov", b"mdat"} <= seen:
            whole_at = at
    return second


def _fragment_time(descriptor: int, at: int, length: int) -> int | None:
    """Return the decode time of a fragment (section 8.8.12, `tfdt`)."""
    fragment = os.pread(descriptor, min(length, _MOST_MOOF_BYTES), at)
    place = fragment.find(b"tfdt", 0, -12)
    if place < 0:
        return None  # it has none, or was cut off
    begin = place + 8  # behind its version and flags
    return int.from_bytes(fragment[begin : begin + (8 if fragment[place + 4] else 4)])


def _caf_chunk(descriptor: int, at: int) -> Unit:
    """Apple's Core Audio Format Specification 1.0: a header of 8 bytes, then chunks."""
    head = os.pread(descriptor, 12, at)
    if head.startswith(b"caff"):
        return True, 8
    length = int.from_bytes(head[4:12], signed=True)  # -1: to the end
    return False, 12 + length if length >= 0 else 0


def _riff_file(descriptor: int, at: int) -> Unit:
    """EBU Tech 3306, section 3, and ITU-R BS.2088: sizes of more than 32 bits are in the first chunk, `ds64`."""
    head = os.pread(descriptor, 28, at)
    if head.startswith(b"RIFF"):
        return True, 8 + int.from_bytes(head[4:8], "little")
    known = head[12:16] == b"ds64"
    return head.startswith(_RIFFS), 8 + int.from_bytes(head[20:28], "little") if known else 0


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
    if head.startswith(_FLV_HEADER):
        return True, int.from_bytes(head[5:9]) + 4
    return False, 11 + int.from_bytes(head[1:4]) + 4 if len(head) == 9 else 0


def _voc_block(descriptor: int, at: int) -> Unit:
    """Creative Voice: a header that names its own size, then blocks of a kind (0: the end) and three bytes of size."""
    head = os.pread(descriptor, 22, at)
    if head.startswith(_VOC_HEADER):
        return True, int.from_bytes(head[20:22], "little")
    return False, 1 if head[:1] == b"\0" else 4 + int.from_bytes(head[1:4], "little")


def _tta_file(descriptor: int, at: int) -> Unit:
    """True Audio 1: a header of 22 bytes, a table of the sizes of all frames, both with a checksum, the frames."""
    head = os.pread(descriptor, 22, at)
    rate_hz, samples = (int.from_bytes(head[begin : begin + 4], "little") for begin in (10, 14))
    if not head.startswith(b"TTA1"):
        return False, _tag_bytes(descriptor, at)
    frames = math.ceil(samples / max(256 * rate_hz // 245, 1))
    if frames > _MOST_TTA_FRAMES:
        return True, 0
    table = os.pread(descriptor, 4 * frames, at + 22)
    if len(table) < 4 * frames:
        return True, 0
    return True, 22 + 4 * frames + 4 + int(np.frombuffer(table, "<u4").sum(dtype=np.int64))


def _wavpack_block(descriptor: int, at: int) -> Unit:
    """WavPack 4 & 5 Binary File / Block Format: the first block holds sample 0 and is the first of its channels."""
    head = os.pread(descriptor, 32, at)
    if not head.startswith(b"wvpk") or len(head) < 32:
        return False, _tag_bytes(descriptor, at)
    index = int.from_bytes(head[16:20], "little") | head[10] << 32
    samples, initial = int.from_bytes(head[20:24], "little"), head[25] & 8
    return bool(index == 0 and samples and initial), 8 + int.from_bytes(head[4:8], "little")


def _tag_bytes(descriptor: int, at: int) -> int:
    """Return the bytes of an APE 2.0 tag with a header, an ID3v1 or an ID3v2 tag; 0 where there is none."""
    head = os.pread(descriptor, 24, at)
    if head.startswith(b"TAG"):
        return 128
    has_header = len(head) == 24 and head.startswith(b"APETAGEX") and head[23] & 0x20
    return 32 + int.from_bytes(head[12:16], "little") if has_header else after_id3(head)


def _matroska_element(descriptor: int, at: int) -> Unit:
    """RFC 8794, sections 4 and 5: an id of four bytes here, then the size, whose first byte tells its own length."""
    head = os.pread(descriptor, 12, at)
    if len(head) < 5 or head[:4] not in (_EBML, _SEGMENT) or head[4] == 0:
        return False, 0
    width = 9 - head[4].bit_length()
    length = int.from_bytes(head[4 : 4 + width]) & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return head.startswith(_EBML), 0 if unknown else 4 + width + length


def _avi_file(descriptor: int, at: int) -> Unit:
    """A long AVI goes on in RIFF chunks of the kind AVIX (OpenDML 1.02): they are the same file."""
    head = os.pread(descriptor, 12, at)
    length = 8 + int.from_bytes(head[4:8], "little")
    return head[8:12] == b"AVI ", length + length % 2 if head.startswith(b"RIFF") else 0


_FIRST_IS_READ: dict[bytes, ReadUnit] = {
    b"caff": _caf_chunk,
    b"RF64": _riff_file,
    b"BW64": _riff_file,
    _W64_RIFF: _w64_file,
    _ASF_HEADER: _asf_object,
    _FLV_HEADER: _flv_tag,
    _VOC_HEADER: _voc_block,
    b"TTA1": _tta_file,
    b"wvpk": _wavpack_block,
}
_ALL_IS_READ: dict[bytes, ReadUnit] = {_EBML: _matroska_element, b"RIFF": _avi_file}
