"""Audio behind the end that a header declares: two files joined by `cat`, or a size that was never brought up to date.

libsndfile and ffmpeg end where the header ends, without a word. WAV and AIFF are checked by their chunks, AU by its
size. A second FLAC is found by its marker; ffmpeg reads both. Other containers: `containers`.
"""

from __future__ import annotations

import mmap
import os
from typing import Literal

from allears.audio.containers import second_beginning
from allears.errors import AudioError

_ORDERS: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"RF64": "little", b"RIFX": "big", b"FORM": "big"}
_SOUND = (b"data", b"SSND")
_UNKNOWN = 0xFFFFFFFF - 64  # sizes from here on, and 0, are those of streams: they go on to the end of the file
_MOST_CHUNKS = 1000
_LARGEST_REST = 0.1  # of the audio; less may be tags
_FLAC_BEGINS = b"fLaC\0\0\0\x22"


def check_end(descriptor: int, name: str) -> None:
    """Raise AudioError `undecodable` when a recording goes on behind the end that its header declares."""
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, 12, 0)
    second = second_beginning(descriptor)
    if second is not None:
        raise AudioError(
            "undecodable",
            f"{name}: another recording begins at byte {second} of {size} (joined files), and only the first can be "
            "read: split it there",
        )
    if head.startswith(b".snd"):
        begin, length = (int.from_bytes(head[at : at + 4]) for at in (4, 8))
        covered = (length, begin + length) if length < _UNKNOWN else None
    else:
        covered = _covered(descriptor, head, size)
    if covered is not None and size - covered[1] > _LARGEST_REST * covered[0]:
        raise AudioError(
            "undecodable",
            f"{name}: its header covers {covered[0]} bytes of audio, and {size - covered[1]} bytes follow that no "
            "header covers (joined files, or a size that was not updated): split it, or correct the size",
        )


def continues(descriptor: int) -> bool:
    """Tell whether another FLAC follows in a FLAC."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        first = data.find(_FLAC_BEGINS)
        return first >= 0 and data.find(_FLAC_BEGINS, first + 1) >= 0


def _covered(descriptor: int, head: bytes, size: int) -> tuple[int, int] | None:
    """Return the bytes of audio and where the last chunk ends; None where there is no chunk of audio, or no size."""
    order = _ORDERS.get(head[:4])
    if order is None:
        return None
    at, sound = 12, None
    for _ in range(_MOST_CHUNKS):
        chunk = os.pread(descriptor, 8, at)
        if len(chunk) < 8 or chunk[:4] in _ORDERS or not all(0x20 <= byte < 0x7F for byte in chunk[:4]):
            break
        length = int.from_bytes(chunk[4:], order)
        if chunk[:4] in _SOUND:
            if length == 0 or length >= _UNKNOWN:
                return None
            sound = length
        at += 8 + length + length % 2
    return None if sound is None else (sound, min(at, size))
