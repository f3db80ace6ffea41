"""Both decoders of shards against libsndfile's `read`: the same samples, wherever one begins."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audio import flac as ours
from allears.errors import AudioError

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
RATE_HZ = 16_000
DECODERS = [ours.by_libsndfile] if ours.lib is None else [ours.by_dr_flac, ours.by_libsndfile]
each = pytest.mark.parametrize("decode", DECODERS)


def encoded(audio_T, subtype="PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, audio_T, RATE_HZ, format="FLAC", subtype=subtype)
    return stream.getvalue()


def expected(flac: bytes, start: int, samples: int):
    with soundfile.SoundFile(io.BytesIO(flac)) as sound:
        sound.seek(start)
        return sound.read(samples, dtype="float32")


def found(decode, flac: bytes, start: int, samples: int):
    out_T = np.full(samples, np.nan, dtype=np.float32)
    return out_T[: decode(flac, start, out_T)]


@each
@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 100_000), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["PCM_16", "PCM_24"]),
    st.sampled_from(["noise", "tone", "silence", "square"]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_part_is_that_of_libsndfile(decode, samples, begin, end, subtype, kind, seed):
    time_T = np.arange(samples) / RATE_HZ
    audio_T = {
        "noise": np.random.default_rng(seed).uniform(-1, 1, samples), "tone": 0.5 * np.sin(2 * np.pi * 440 * time_T),
        "silence": np.zeros(samples), "square": np.sign(np.sin(2 * np.pi * 100 * time_T)),
    }[kind]  # fmt: skip
    flac = encoded(audio_T, subtype)
    start = round(begin * samples)
    wanted = round(end * (samples - start))
    np.testing.assert_array_equal(found(decode, flac, start, wanted), expected(flac, start, wanted))


@each
@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings: ALLEARS_REAL_DATA")
def test_real_recordings_in_whole_and_in_parts(decode):
    rng = np.random.default_rng(0)
    paths = sorted((REAL / "speechocean762").rglob("*.opus"))[::50] + sorted((REAL / "fsdd").rglob("*.wav"))[::100]
    assert len(paths) > 50
    for path in paths:
        audio_T = soundfile.read(path, always_2d=True)[0][:, 0]
        flac = encoded(audio_T)
        np.testing.assert_array_equal(found(decode, flac, 0, len(audio_T)), expected(flac, 0, len(audio_T)))
        for start in rng.integers(0, len(audio_T), 5).tolist():
            wanted = int(rng.integers(0, len(audio_T) - start + 1))
            np.testing.assert_array_equal(found(decode, flac, start, wanted), expected(flac, start, wanted))


@each
def test_what_is_asked_for_behind_the_end_is_not_there(decode):
    flac = encoded(np.zeros(100))
    assert len(found(decode, flac, 90, 20)) == 10
    assert len(found(decode, flac, 100, 20)) == 0
    with pytest.raises(AudioError, match="do not reach sample 101"):
        found(decode, flac, 101, 20)


@each
def test_what_is_no_mono_flac_is_said(decode):
    with pytest.raises(AudioError, match="not FLAC"):
        found(decode, b"RIFF" + bytes(100), 0, 10)
    with pytest.raises(AudioError, match="of 2 channels, expected 1"):
        found(decode, encoded(np.zeros((100, 2))), 0, 10)
