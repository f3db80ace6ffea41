"""Headers and samples of any recording: libsndfile where it reads the format, guarded ffmpeg elsewhere.

Both give float32 at the recording's own rate; `tests/unit/audio/test_decode.py` states how far they differ. What
libsndfile reads wrongly or not at all (AAC, video, broken headers) falls to ffmpeg, by what the file *is*, never by
its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from allears.audio import ffmpeg
from allears.audio.frames import to_samples
from allears.errors import AudioError

DECODERS = (
    f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}, "
    f"ffmpeg of imageio-ffmpeg {version('imageio-ffmpeg')}, soxr {soxr.__version__}"
)
MAX_CLIP_S = 3600.0  # one clip in memory: an hour at 48 kHz is 0.7 GB
_DATA_CHUNK = re.compile(r"^data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)

Mono = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording declares of itself; the truth is what it decodes to."""

    codec: str
    sample_rate_hz: int
    channels: int
    duration_s: float


def header(path: Path) -> Header:
    """Read the header of `path`.

    Raises AudioError with reason `zero_byte`, `not_audio`, `unreadable` or `timeout`; OSError when it cannot be opened.
    """
    if path.stat().st_size == 0:
        raise AudioError("zero_byte", f"{path.name}: the file is empty (an interrupted copy?); copy it again")
    path.open("rb").close()  # an OSError here says what is wrong with the file, libsndfile would not
    try:
        info = soundfile.info(path, verbose=True)
    except soundfile.LibsndfileError:
        info = None
    if info is None:
        facts = ffmpeg.probe(path)
        seconds = facts.duration_s if facts.duration_s is not None else _measured_s(path)
        return Header(
            codec=facts.codec, sample_rate_hz=facts.sample_rate_hz, channels=facts.channels, duration_s=seconds
        )
    return Header(
        codec=f"{info.format}/{info.subtype}".lower(),
        sample_rate_hz=info.samplerate,
        channels=info.channels,
        duration_s=_declared_frames(info) / info.samplerate,
    )


def decode(
    path: Path, start_s: float = 0.0, end_s: float | None = None, channel: int | None = None
) -> tuple[Mono, int]:
    """Samples [T] in float32 from `start_s` to `end_s` of one channel (None: the mean of all), and their rate.

    A file that ends early gives what there is; compare with the declared duration.
    Raises AudioError: `undecodable`, `not_audio`, `too_long`, `timeout`, `no_such_channel`; OSError when it cannot be
    opened.
    """
    path.open("rb").close()  # an OSError here says what is wrong with the file, libsndfile would not
    try:
        with soundfile.SoundFile(path) as sound:
            rate = sound.samplerate
            audio = _read(sound, path, to_samples(start_s, rate), None if end_s is None else to_samples(end_s, rate))
    except soundfile.LibsndfileError:
        audio, rate = ffmpeg.decode(path, start_s, end_s, max_s=MAX_CLIP_S)
    return _one_channel(audio, channel, path), rate


def resample(audio: Mono, rate_hz: int, new_rate_hz: int) -> Mono:
    """`audio` [T] at another rate, by soxr's high-quality recipe; unchanged when the rates agree."""
    if rate_hz == new_rate_hz:
        return audio
    resampled: Mono = soxr.resample(audio, rate_hz, new_rate_hz, quality="HQ").astype(np.float32, copy=False)
    return resampled


def _read(sound: soundfile.SoundFile, path: Path, first: int, last: int | None) -> npt.NDArray[np.float32]:
    last = sound.frames if last is None else min(last, sound.frames)
    if last - first > MAX_CLIP_S * sound.samplerate:
        raise AudioError(
            "too_long",
            f"{path.name}: {(last - first) / sound.samplerate:.0f} s in one piece, at most {MAX_CLIP_S:g} s fit; "
            "cut it by `ingest.segment=fixed`",
        )
    if first > 0:
        sound.seek(min(first, sound.frames))
    audio: npt.NDArray[np.float32] = sound.read(max(last - first, 0), dtype="float32", always_2d=True)
    return audio


def _one_channel(audio: npt.NDArray[np.float32], channel: int | None, path: Path) -> Mono:
    channels = audio.shape[1]
    if channel is None:
        return audio[:, 0] if channels == 1 else audio.mean(axis=1, dtype=np.float32)
    if channel >= channels:
        raise AudioError("no_such_channel", f"{path.name}: channel {channel} was asked for, it has {channels}")
    return np.ascontiguousarray(audio[:, channel])


def _declared_frames(info: soundfile._SoundFileInfo) -> int:
    """Libsndfile shortens a cut-off wav to what is there; its log still says what the header declared."""
    chunk = _DATA_CHUNK.search(info.extra_info or "")
    if chunk is None or int(chunk[2]) == 0:
        return int(info.frames)
    declared, found = int(chunk[1]), int(chunk[2])
    streamed = declared >= 0xFFFFFFFF - 64 or declared == 0  # written to a pipe: the size was never known
    return int(info.frames) if streamed else round(info.frames * declared / found)


def _measured_s(path: Path) -> float:
    """The length of a stream that declares none (a raw AAC, a live recording)."""
    audio, rate = ffmpeg.decode(path, max_s=12 * MAX_CLIP_S)
    return float(audio.shape[0] / rate)
