"""Frames of an MPEG audio stream (MP1, MP2, MP3), counted by their headers: nothing is decoded.

Headers: ISO/IEC 11172-3, section 2.4.1.3 and ISO/IEC 13818-3; MPEG 2.5 as LAME writes it. The number of
frames stands in Xing's note (`Xing`, `Info`), which LAME and ffmpeg write too. Fraunhofer's (`VBRI`) counts as audio,
because libsndfile does not know it.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass

# kbit/s by index, for (MPEG 1?, layer)
_KBITS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000, 0), 2: (22_050, 24_000, 16_000, 0), 0: (11_025, 12_000, 8_000, 0)}
_SIGN = re.compile(b"\xff|ID3|APETAGEX")
_LARGEST_GAP = 1 << 20  # bytes without a frame: whoever writes more is no encoder


@dataclass(frozen=True, slots=True)
class MpegAudio:
    """Number of frames that hold audio, and what their headers agree on.

    `noted_frames`: as the first frame notes, None where it notes nothing. `uniform`: frame follows upon frame, and
    rate, layer and number of channels never change.
    """

    frames: int
    samples: int
    rate_hz: int
    noted_frames: int | None
    uniform: bool


def _frame_bytes(second: int, third: int) -> int:
    """Return the length of a frame from bytes two and three of its header; 0: no header, or of unknown length."""
    version, layer, rate_hz = second >> 3 & 3, 4 - (second >> 1 & 3), _rate_hz(second, third)
    if second & 0xE0 != 0xE0 or version == 1 or layer == 4 or rate_hz == 0:
        return 0
    bits, padding = 1000 * _KBITS[version == 3, layer][third >> 4], third >> 1 & 1
    if bits == 0:
        return 0
    if layer == 1:
        return (12 * bits // rate_hz + padding) * 4
    return _frame_samples(second) // 8 * bits // rate_hz + padding


def _frame_samples(second: int) -> int:
    """Return the samples of a frame."""
    layer = 4 - (second >> 1 & 3)
    if layer == 1:
        return 384
    return 576 if layer == 3 and second >> 3 & 3 != 3 else 1152


def _rate_hz(second: int, third: int) -> int:
    return _RATES_HZ.get(second >> 3 & 3, (0,) * 4)[third >> 2 & 3]


_BYTES = tuple(_frame_bytes(code >> 8, code & 255) for code in range(1 << 16))  # by the second and third byte


def count(descriptor: int) -> MpegAudio | None:
    """Walk over all frames of a regular file; None where they cannot be told (free format, too much between them)."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        first = _next_frame(data, 0)
        if first is None:
            return None
        noted, is_note = _note(data, first)
        at, end, frames, gaps = first, len(data) - 3, 0, 0
        kinds = set()
        while at < end:
            size = _BYTES[data[at + 1] << 8 | data[at + 2]] if data[at] == 0xFF else 0
            if size == 0:
                found = _next_frame(data, at)
                if found is None:
                    break
                at = found
                gaps += 1
                continue
            if at + size > len(data):  # cut off
                break
            frames += 1
            kinds.add((data[at + 1] & 0x1E, data[at + 2] & 0x0C, data[at + 3] >= 0xC0))
            at += size
        frames -= is_note
        second, third = data[first + 1], data[first + 2]
        samples = frames * _frame_samples(second)
        return MpegAudio(frames, samples, _rate_hz(second, third), noted, len(kinds) == 1 and not gaps)


def _next_frame(data: mmap.mmap, at: int) -> int | None:
    """Return where the next two frames stand one behind the other (or one at the end); tags are passed over."""
    while at < len(data) - 3:
        tag = 0
        for sign in _SIGN.finditer(data, at, min(at + _LARGEST_GAP, len(data) - 3)):
            place = sign.start()
            if tag := _behind_tag(data, place):
                break
            size = _BYTES[data[place + 1] << 8 | data[place + 2]]
            if size and data[place] == 0xFF and _follows(data, place, place + size):
                return place
        if not tag:
            return None
        at = tag
    return None


def _follows(data: mmap.mmap, at: int, behind: int) -> bool:
    """Tell whether another frame of the same kind (or a tag, or the end) stands at `behind`."""
    if behind >= len(data) - 3:
        return behind <= len(data)
    alike = data[behind] == 0xFF and (data[at + 1] ^ data[behind + 1]) & 0xFE == 0
    return (alike and _BYTES[data[behind + 1] << 8 | data[behind + 2]] > 0) or _behind_tag(data, behind) > 0


def _behind_tag(data: mmap.mmap, at: int) -> int:
    """Return where the tag at `at` ends, 0 where there is none (ID3v1, ID3v2, APE)."""
    head = data[at : at + 32]
    if head.startswith(b"ID3") and len(head) >= 10:
        size = 0
        for seven in head[6:10]:
            size = size << 7 | seven & 0x7F
        return at + 10 + size + (10 if head[5] & 0x10 else 0)
    if head.startswith(b"APETAGEX") and len(head) == 32:
        is_header = head[23] & 0x20
        return at + 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    if head.startswith(b"TAG") and len(data) - at == 128:
        return len(data)
    return 0


def _note(data: mmap.mmap, first: int) -> tuple[int | None, bool]:
    """Return the number of frames that the first frame notes, and whether it is a note instead of audio."""
    size = _BYTES[data[first + 1] << 8 | data[first + 2]]
    frame = data[first : first + size]
    at = max(frame.find(b"Xing", 0, 48), frame.find(b"Info", 0, 48))
    if at < 0:
        return None, False
    return int.from_bytes(frame[at + 8 : at + 12]) if frame[at + 7] & 1 else None, True
