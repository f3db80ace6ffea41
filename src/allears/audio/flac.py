"""FLAC as it lies in shards, decoded by dr_flac (which comes with miniaudio): the samples of libsndfile, bit by bit, in
about half the time; from the middle of a clip too. Free of Python's lock while it decodes.

A frame that is damaged is passed over without a word: bytes must be known to be right (`shards.reader` checks them).
miniaudio's Python functions decode whole clips only and copy them, so its C functions are called. Where it has no
wheels (Linux on ARM), libsndfile decodes.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from allears.errors import AudioError

try:
    from miniaudio import ffi, lib
except ImportError:
    lib = None


def decode_into(flac: bytes, start: int, out_T: NDArray[np.float32]) -> int:
    """Fill `out_T` (float32 [T], in [-1, 1]) with the samples of a mono FLAC from `start` on; how many there were.

    Raises AudioError when it is no FLAC, not mono, or does not reach `start`.
    """
    return by_libsndfile(flac, start, out_T) if lib is None else by_dr_flac(flac, start, out_T)


def by_dr_flac(flac: bytes, start: int, out_T: NDArray[np.float32]) -> int:
    """`decode_into`, by miniaudio's C functions."""
    decoder = lib.ma_dr_flac_open_memory(flac, len(flac), ffi.NULL)
    if decoder == ffi.NULL:
        raise AudioError("undecodable", "they are not FLAC")
    try:
        _check_channels(decoder.channels)
        if start > decoder.totalPCMFrameCount or not lib.ma_dr_flac_seek_to_pcm_frame(decoder, start):
            raise AudioError("undecodable", f"they do not reach sample {start}")
        samples = ffi.from_buffer("float[]", out_T, require_writable=True)
        return int(lib.ma_dr_flac_read_pcm_frames_f32(decoder, len(out_T), samples))
    finally:
        lib.ma_dr_flac_close(decoder)


def by_libsndfile(flac: bytes, start: int, out_T: NDArray[np.float32]) -> int:
    """`decode_into`, by libsndfile."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as sound:
            _check_channels(sound.channels)
            if start > sound.frames:
                raise AudioError("undecodable", f"they do not reach sample {start}")
            sound.seek(start)
            return len(sound.read(dtype="float32", out=out_T))
    except soundfile.LibsndfileError as error:
        raise AudioError("undecodable", f"they are not FLAC ({error})") from error


def _check_channels(channels: int) -> None:
    if channels != 1:
        raise AudioError("undecodable", f"they are FLAC of {channels} channels, expected 1")
