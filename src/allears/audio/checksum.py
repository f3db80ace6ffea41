"""The MD5 that a FLAC carries of its own samples (STREAMINFO, RFC 9639, section 8.2), compared with what was decoded.

Native FLAC, also behind an ID3 tag, and FLAC in Ogg (RFC 9639, section 10.1). Up to 24 bits per sample: float32 holds
no more. A stream that ends early is not compared: its length says what is wrong with it.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import numpy.typing as npt

from allears.audio.joined import after_id3
from allears.errors import AudioError

_STREAMINFO = b"fLaC"
_STREAMINFO_BYTES = 34
_IN_OGG = 64  # bytes in which STREAMINFO begins: page header and mapping header before it
_MOST_BITS = 24
_UNSET = bytes(16)


def check_md5(descriptor: int, audio_TC: npt.NDArray[np.float32], name: str) -> None:
    """Raise AudioError `undecodable` when `audio_TC`, all samples of a FLAC, do not have the MD5 in its header."""
    head = os.pread(descriptor, _IN_OGG + _STREAMINFO_BYTES, after_id3(os.pread(descriptor, 10, 0)))
    at = head.find(_STREAMINFO, 0, _IN_OGG)
    if at < 0 or (at > 0 and not head.startswith(b"OggS")) or len(head) < at + 8 + _STREAMINFO_BYTES:
        return
    info = head[at + 8 : at + 8 + _STREAMINFO_BYTES]
    packed, expected = int.from_bytes(info[10:18]), info[18:]  # bits: 20 rate, 3 channels, 5 width, 36 samples
    channels, bits, samples = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & ((1 << 36) - 1)
    as_declared = audio_TC.shape == (samples or len(audio_TC), channels)
    if expected == _UNSET or bits > _MOST_BITS or not as_declared:
        return
    found = hashlib.md5(_as_stored(audio_TC, bits).data, usedforsecurity=False).digest()
    if found != expected:
        raise AudioError(
            "undecodable",
            f"{name}: its header gives the MD5 {expected.hex()} for its samples, they decode to {found.hex()}: the "
            "file was damaged or edited; get it again from its source",
        )


def _as_stored(audio_TC: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.generic]:
    """Return integer samples, interleaved, in as few little-endian bytes as hold `bits`."""
    scaled_TC = np.ascontiguousarray(audio_TC) * np.float32(1 << (bits - 1))
    match (bits + 7) // 8:
        case 1:
            return scaled_TC.astype("<i1")
        case 2:
            return scaled_TC.astype("<i2")
        case _:
            bytes_4 = scaled_TC.astype("<i4").view("u1").reshape(-1, 4)
            bytes_3 = np.empty((len(bytes_4), 3), np.uint8)
            for place in range(3):  # a slice [:, :3] is copied byte by byte
                bytes_3[:, place] = bytes_4[:, place]
            return bytes_3
