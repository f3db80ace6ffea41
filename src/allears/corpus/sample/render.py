"""Make one maker's files. Runs in a worker process; the bytes depend on the plan alone. Legend: `T` samples."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from allears.audio import ffmpeg
from allears.audio.decode import resample
from allears.corpus.sample import espeak
from allears.corpus.sample.clips import Clip, Maker
from allears.corpus.sample.plan import SOUND_S
from allears.corpus.sample.sounds import Floats, make_sound
from allears.errors import AudioError, CorpusError, StorageError

_SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}  # libsndfile writes these, the same every time
_CODECS: dict[str, dict[str, Any]] = {
    "opus": {"acodec": "libopus", "audio_bitrate": "32k"},
    "m4a": {"acodec": "aac", "audio_bitrate": "64k"},
    "mp4": {"acodec": "aac", "audio_bitrate": "64k"},
}
_SPEAK_TIMEOUT_S = 120.0


def render(maker: Maker, folder: Path) -> dict[str, Any]:
    """Write the files of `maker` below `folder`; the seconds of audio and the number of files."""
    own = [clip for clip in maker.clips if clip.copy_of is None]
    voices = iter(_speak(maker, [clip.spoken or "" for clip in own])) if maker.sound is None else None
    seconds = 0.0
    for clip in own:
        rng = np.random.default_rng(clip.seed)
        if voices is None:
            audio = make_sound(maker.sound or "rain", SOUND_S * rng.uniform(0.7, 1.3), clip.rate_hz, rng)
        else:
            audio = _voiced(next(voices), maker, clip, rng)
        _write(folder / clip.path, _shaped(audio, clip, rng), clip)
        seconds += len(audio) / clip.rate_hz
    for clip in maker.clips:
        if clip.copy_of is not None:
            _copy(folder / clip.copy_of, folder / clip.path, clip)
    return {"seconds": seconds, "files": len(maker.clips)}


def _speak(maker: Maker, texts: list[str]) -> list[Floats]:
    """What espeak-ng says, in [-1, 1] at its own rate."""
    import espeakng_loader

    request = {
        "library": str(espeakng_loader.get_library_path()), "data": str(espeakng_loader.get_data_path()),
        "voice": maker.voice, "pitch": maker.pitch, "rate": maker.rate, "range": maker.range, "texts": texts,
    }  # fmt: skip
    command = [sys.executable, "-I", "-S", espeak.__file__]
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=_SPEAK_TIMEOUT_S, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip() or str(error)
        raise CorpusError(
            f"the sample's speaker {maker.name} cannot be made: {said}. Reinstall espeakng-loader, or bring recordings "
            "of your own"
        ) from error
    spoken, at = [], 0
    for _ in texts:
        (size,) = struct.unpack_from("<I", done.stdout, at)
        spoken.append(np.frombuffer(done.stdout, dtype="<i2", count=size // 2, offset=at + 4) / 32768.0)
        at += 4 + size
    return spoken


def _voiced(audio: Floats, maker: Maker, clip: Clip, rng: np.random.Generator) -> Floats:
    """The voice with its speaker's vocal tract, in its room, at the clip's rate and level."""
    pauses = [np.zeros(round(espeak.SAMPLE_RATE_HZ * rng.uniform(0.08, 0.25))) for _ in range(2)]
    padded = np.concatenate((pauses[0], audio, pauses[1]))
    rate_hz = 8_000 if clip.effect == "upsampled" else clip.rate_hz
    voice = resample(padded.astype(np.float32), round(espeak.SAMPLE_RATE_HZ * maker.warp), rate_hz).astype(np.float64)
    power = float(np.mean(np.square(voice))) + 1e-12
    voice += rng.standard_normal(voice.size) * np.sqrt(power * 10 ** (-maker.snr_db / 10))
    voice *= rng.uniform(0.3, 0.8) / np.abs(voice).max()
    if rate_hz != clip.rate_hz:
        voice = resample(voice.astype(np.float32), rate_hz, clip.rate_hz).astype(np.float64)
    return voice


def _shaped(audio_T: Floats, clip: Clip, rng: np.random.Generator) -> Floats:
    """With the clip's defect, in its channels: [T] or [T, 2]."""
    if clip.effect == "clipped":
        audio_T = np.clip(audio_T * (4.0 / np.abs(audio_T).max()), -1.0, 1.0)
    elif clip.effect == "silent":
        audio_T = np.zeros(audio_T.size) if clip.seed % 2 else 1e-4 * rng.standard_normal(audio_T.size)
    if clip.channels == 1:
        return audio_T
    delay = round(2e-4 * clip.rate_hz)
    other_T = (
        audio_T
        if clip.effect == "clipped"
        else 0.8 * np.concatenate((np.zeros(delay), audio_T[: audio_T.size - delay]))
    )
    return np.stack((audio_T, other_T), axis=1)


def _write(target: Path, audio: Floats, clip: Clip) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if clip.format in _SUBTYPES:
        _save(target, audio, clip.rate_hz, _SUBTYPES[clip.format])
    else:
        plain = target.with_name(f".{target.name}.wav")
        _save(plain, audio, clip.rate_hz, "PCM_16")
        _encode(plain, target, clip, picture_s=len(audio) / clip.rate_hz if clip.format == "mp4" else None)
        plain.unlink()
    if clip.effect == "truncated":
        whole = target.read_bytes()
        target.write_bytes(whole[: len(whole) // 2])


def _save(target: Path, audio: npt.NDArray[Any], rate_hz: int, subtype: str) -> None:
    try:
        soundfile.write(target, audio, rate_hz, subtype=subtype)
    except soundfile.LibsndfileError as error:
        raise StorageError(
            f"{target} cannot be written ({error}); check the free space and the folder's permissions, then run the "
            "same command again"
        ) from error


def _copy(source: Path, target: Path, clip: Clip) -> None:
    match clip.effect:
        case "byte_copy":
            shutil.copyfile(source, target)
        case "lossless_copy":
            audio, rate_hz = soundfile.read(source, dtype="int16")
            _save(target, audio, rate_hz, "PCM_16")
        case _:
            _encode(source, target, clip)


def _encode(source: Path, target: Path, clip: Clip, picture_s: float | None = None) -> None:
    try:
        ffmpeg.convert(source, target, _CODECS[clip.format], picture_s=picture_s)
    except AudioError as error:
        raise CorpusError(f"the sample cannot be made: {error}. Run `allears doctor` to check ffmpeg") from error
