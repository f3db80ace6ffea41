"""Our decoder of shards against libsndfile: the same samples, wherever it begins."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audio.flac import decode_into
from allears.errors import AudioError

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
RATE_HZ = 16_000


def encoded(audio_T, subtype="PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, audio_T, RATE_HZ, format="FLAC", subtype=subtype)
    return stream.getvalue()


def by_libsndfile(flac: bytes, start: int, samples: int):
    with soundfile.SoundFile(io.BytesIO(flac)) as sound:
        sound.seek(start)
        return sound.read(samples, dtype="float32")


def by_us(flac: bytes, start: int, samples: int):
    out_T = np.full(samples, np.nan, dtype=np.float32)
    return out_T[: decode_into(flac, start, out_T)]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 20_000), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["PCM_16", "PCM_24"]),
    st.sampled_from(["noise", "tone", "silence", "square"]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_part_is_that_of_libsndfile(samples, begin, end, subtype, kind, seed):
    time_T = np.arange(samples) / RATE_HZ
    audio_T = {
        "noise": np.random.default_rng(seed).uniform(-1, 1, samples), "tone": 0.5 * np.sin(2 * np.pi * 440 * time_T),
        "silence": np.zeros(samples), "square": np.sign(np.sin(2 * np.pi * 100 * time_T)),
    }[kind]  # fmt: skip
    flac = encoded(audio_T, subtype)
    start = round(begin * samples)
    wanted = round(end * (samples - start))
    np.testing.assert_array_equal(by_us(flac, start, wanted), by_libsndfile(flac, start, wanted))


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings: ALLEARS_REAL_DATA")
def test_real_recordings_in_whole_and_in_parts():
    rng = np.random.default_rng(0)
    paths = sorted((REAL / "speechocean762").rglob("*.opus"))[::50] + sorted((REAL / "fsdd").rglob("*.wav"))[::100]
    assert len(paths) > 50
    for path in paths:
        audio_T = soundfile.read(path, always_2d=True)[0][:, 0]
        flac = encoded(audio_T)
        np.testing.assert_array_equal(by_us(flac, 0, len(audio_T)), by_libsndfile(flac, 0, len(audio_T)))
        for start in rng.integers(0, len(audio_T), 5).tolist():
            wanted = int(rng.integers(0, len(audio_T) - start + 1))
            np.testing.assert_array_equal(by_us(flac, start, wanted), by_libsndfile(flac, start, wanted))


def test_what_is_asked_for_behind_the_end_is_not_there():
    flac = encoded(np.zeros(100))
    assert len(by_us(flac, 90, 20)) == 10
    assert len(by_us(flac, 200, 20)) == 0


def test_what_is_no_mono_flac_is_said():
    with pytest.raises(AudioError, match="not FLAC"):
        by_us(b"RIFF" + bytes(100), 0, 10)
    with pytest.raises(AudioError, match="of 2 channels, expected 1"):
        by_us(encoded(np.zeros((100, 2))), 0, 10)
