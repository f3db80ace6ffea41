"""The beginning of a clip as a small file that any browser plays, with its spectrogram beside it.

MP3, because Safari plays no Ogg before version 18.4; variable bit rate, about 30 to 45 kbit/s. The sound is limited to
12 kHz of bandwidth; the picture shows what the recording holds.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from allears.audio.decode import Mono, resample
from allears.audio.picture import spectrogram, webp
from allears.errors import AudioError
from allears.frames import to_seconds
from allears.storage.files import write_bytes

VERSION = 1
RATES_HZ = (16_000, 22_050, 24_000)  # MPEG-2 layer III: what every player knows
SOUND, PICTURE = ".mp3", ".webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """What an excerpt shows: its seconds, and up to which frequency its picture goes."""

    seconds: float
    top_hz: float


def write_excerpt(audio_T: Mono, rate_hz: int, target: Path) -> Excerpt:
    """Write `audio_T` [T] as `target`.mp3 and `target`.webp, each whole or not at all.

    Raises AudioError `empty` for no samples, StorageError for the target.
    """
    if len(audio_T) == 0:
        raise AudioError("empty", "it decodes to no audio at all")
    audio_T = np.nan_to_num(audio_T, nan=0.0, posinf=1.0, neginf=-1.0)
    write_bytes(target.with_name(target.name + PICTURE), webp(spectrogram(audio_T, rate_hz)))
    write_bytes(target.with_name(target.name + SOUND), mp3(audio_T, rate_hz))
    return Excerpt(seconds=to_seconds(len(audio_T), rate_hz), top_hz=rate_hz / 2)


def mp3(audio_T: Mono, rate_hz: int) -> bytes:
    """`audio_T` as mono MP3 at the next of RATES_HZ; louder than full scale is cut there, as any player would."""
    new_rate_hz = next((rate for rate in RATES_HZ if rate >= rate_hz), RATES_HZ[-1])
    target = io.BytesIO()
    soundfile.write(
        target, resample(audio_T, rate_hz, new_rate_hz).clip(-1, 1), new_rate_hz,
        format="MP3", subtype="MPEG_LAYER_III", compression_level=0.5, bitrate_mode="VARIABLE",
    )  # fmt: skip
    return target.getvalue()
