"""FLAC as it lies in shards, decoded by dr_flac (which comes with miniaudio): the samples of libsndfile, bit by bit, in
about half the time; from the middle of a clip too. Free of Python's lock while it decodes.

miniaudio's Python functions decode whole clips only and copy them, so its C functions are called.
"""

from __future__ import annotations

import numpy as np
from miniaudio import ffi, lib
from numpy.typing import NDArray

from allears.errors import AudioError


def decode_into(flac: bytes, start: int, out_T: NDArray[np.float32]) -> int:
    """Fill `out_T` (float32 [T], in [-1, 1]) with the samples of a mono FLAC from `start` on; how many there were.

    Raises AudioError when it is no FLAC, or not mono.
    """
    decoder = lib.ma_dr_flac_open_memory(flac, len(flac), ffi.NULL)
    if decoder == ffi.NULL:
        raise AudioError("undecodable", "they are not FLAC")
    try:
        if decoder.channels != 1:
            raise AudioError("undecodable", f"they are FLAC of {decoder.channels} channels, expected 1")
        if not lib.ma_dr_flac_seek_to_pcm_frame(decoder, start):
            return 0
        samples = ffi.from_buffer("float[]", out_T, require_writable=True)
        return int(lib.ma_dr_flac_read_pcm_frames_f32(decoder, len(out_T), samples))
    finally:
        lib.ma_dr_flac_close(decoder)
