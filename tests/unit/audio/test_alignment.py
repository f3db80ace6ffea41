from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio import ffmpeg
from allears.audio.alignment import RATE_HZ, least_correlation
from allears.audio.decode import decode, resample

WORDS_S = 0.3


def said(words: str, voice: int = 0) -> np.ndarray:
    """A word a letter: coloured noise of its own, the same each time that the voice says it; pauses between."""
    parts = []
    for word in words:
        rng = np.random.default_rng([voice, ord(word)])
        noise = np.convolve(rng.normal(size=int(WORDS_S * RATE_HZ)), np.hanning(24), mode="same")
        parts += [noise * np.hanning(len(noise)), np.zeros(RATE_HZ // 20)]
    audio = np.concatenate(parts).astype(np.float32)
    return audio / np.abs(audio).max() * np.float32(0.5)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("opus", {"acodec": "libopus", "audio_bitrate": "24k"}),
        ("mp3", {"acodec": "libmp3lame", "audio_bitrate": "48k"}),
        ("m4a", {"acodec": "aac", "audio_bitrate": "48k"}),
        ("wav", {"acodec": "pcm_mulaw", "ar": 8_000}),
    ],
)
def test_a_copy_in_another_codec_agrees_everywhere(tmp_path: Path, suffix: str, options: dict) -> None:
    audio = resample(said("abcdefg"), RATE_HZ, 16_000)
    soundfile.write(tmp_path / "a.wav", audio, 16_000)
    copy = tmp_path / f"copy.{suffix}"
    ffmpeg.convert(tmp_path / "a.wav", copy, options)
    assert least_correlation(said("abcdefg"), resample(*decode(copy), RATE_HZ)) > 0.8


def test_the_same_voice_with_one_other_word_does_not() -> None:
    assert least_correlation(said("abcdefgh"), said("abcxefgh")) < 0.6
    assert least_correlation(said("abcdefgh"), said("abcdefgh")) == pytest.approx(1.0)


def test_other_voices_do_not() -> None:
    assert least_correlation(said("abcdefgh"), said("abcdefgh", voice=1)) < 0.3


@pytest.mark.parametrize("lag_s", [-0.14, -0.01, 0.03, 0.14])
def test_a_lag_a_sign_and_a_level_do_not_matter(lag_s: float) -> None:
    audio, padding = said("abcdef"), np.zeros(round(abs(lag_s) * RATE_HZ), np.float32)
    later = np.concatenate((padding, audio))
    one, other = (audio, later) if lag_s > 0 else (later, audio)
    assert least_correlation(one, np.float32(-0.1) * other + np.float32(0.02)) > 0.95


def test_a_greater_lag_does() -> None:
    later = np.concatenate((np.zeros(round(0.3 * RATE_HZ), np.float32), said("abcdef")))
    assert least_correlation(said("abcdef"), later) < 0.6


@pytest.mark.parametrize("samples", [0, 1, 2, 100, 3_000])
def test_silence_and_nothing_agree_with_nothing(samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    assert least_correlation(silence, silence) == 0.0
    assert least_correlation(said("abc"), silence) == 0.0
    assert least_correlation(silence, said("abc")) == 0.0


def test_a_clip_shorter_than_a_window_is_compared_whole() -> None:
    audio = said("a")[600:1_700]
    assert least_correlation(audio, audio) == pytest.approx(1.0)
    assert least_correlation(audio, said("b")[600:1_700]) < 0.8
