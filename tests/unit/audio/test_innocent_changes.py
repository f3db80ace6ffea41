"""Properties: what says nothing about a voice or its noise changes the measures of them by no more than stated here.

On speech of a synthesiser at every rate from 1 to 48 kHz and on real recordings. The detector listens to every stretch
(`speech_stride=1`): with a stride, an offset in time changes which stretches it hears.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audio import fingerprint as fp
from allears.audio.decode import resample
from allears.audio.measures import CEILING_DB, MeasureSpec
from allears.audit.clip import measure_clip
from allears.corpus.sample.clips import Clip, Maker
from allears.corpus.sample.render import render
from tests.real import REAL

RATES_HZ = (1_000, 2_000, 4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000)
SPEC = MeasureSpec(
    clip_level=0.99, silence_dbfs=-50.0, silence_below_loud_db=40.0, bandwidth_drop_db=60.0, speech_probability=0.5,
    speech_stride=1,
)  # fmt: skip
FRAME, CHUNK, BIN_HZ = 0.011, 0.012, 32.0  # one of a clip of three seconds
TELEPHONE_HZ = 8_000
VOICES = (("en-us", 45, 24.0), ("de", 30, 48.0), ("es", 70, 36.0))  # voice, pitch, signal-to-noise ratio in dB
REAL_CLIPS = 6
clips = st.integers(0, len(VOICES) + (REAL_CLIPS if REAL.is_dir() else 0) - 1)
rates = st.sampled_from(RATES_HZ)
ends = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1))  # shorter ones are within a step between knots
examples = settings(max_examples=25, deadline=None, derandomize=True)


@lru_cache(maxsize=64)
def speech(number: int, rate_hz: int) -> np.ndarray:
    """A clip of some three seconds: of the synthesiser, then of speechocean762."""
    if number >= len(VOICES):
        files = sorted((REAL / "speechocean762").rglob("*.opus"))
        audio, native_hz = soundfile.read(files[(number - len(VOICES)) * len(files) // REAL_CLIPS], dtype="float32")
    else:
        audio, native_hz = spoken(*VOICES[number])
    return resample(audio[: 3 * native_hz], native_hz, rate_hz)


@lru_cache(maxsize=len(VOICES))
def spoken(voice: str, pitch: int, snr_db: float) -> tuple[np.ndarray, int]:
    text = "the quick brown fox jumps over the lazy dog, again and again. and then it sleeps."
    clip = Clip(
        path="a.flac", format="flac", rate_hz=48_000, channels=1, seed=1, split="train", session="s", spoken=text
    )
    with tempfile.TemporaryDirectory() as folder:
        render(Maker(name="m", clips=(clip,), voice=voice, pitch=pitch, snr_db=snr_db), Path(folder))
        audio, rate_hz = soundfile.read(Path(folder) / "a.flac", dtype="float32")
    return audio, rate_hz


@lru_cache(maxsize=64)
def as_it_is(number: int, rate_hz: int) -> dict[str, Any]:
    return measured(speech(number, rate_hz), rate_hz)


def measured(audio: np.ndarray, rate_hz: int) -> dict[str, Any]:
    return measure_clip(audio.astype(np.float32)[:, None], rate_hz, SPEC)


def assert_close(found: dict[str, Any], expected: dict[str, Any], **tolerances: float) -> None:
    for name, tolerance in tolerances.items():
        if expected[name] is None:
            assert found[name] is None, name
        elif name == "pause_snr_db":
            assert within_reach(found) == pytest.approx(within_reach(expected), abs=tolerance)
        else:
            assert found[name] == pytest.approx(expected[name], abs=tolerance), name


def within_reach(values: dict[str, Any]) -> float:
    """Speech over pauses up to 45 dB: beyond it, any trace of anything is as loud as the pauses."""
    assert values["pause_snr_db"] is not None
    return min(float(values["pause_snr_db"]), 45.0)


def bit_error(one: dict[str, Any], other: dict[str, Any]) -> float:
    words = fp.as_words([bytes.fromhex(each["fingerprint"]) for each in (one, other)])
    return float(fp.distances(words[0], words[1:])[0])


@given(number=clips, rate_hz=rates, offset=st.floats(-0.9, 0.9))
@examples
def test_an_offset_changes_nothing_but_the_offset(number: int, rate_hz: int, offset: float) -> None:
    before, after = as_it_is(number, rate_hz), measured(speech(number, rate_hz) + np.float32(offset), rate_hz)
    assert_close(
        after, before, rms_dbfs=0.01, silence_share=3 * FRAME, snr_db=0.1, pause_snr_db=0.1, speech_share=2 * CHUNK,
        bandwidth_hz=BIN_HZ, hum_db=0.1, rumble_db=0.5,
    )  # fmt: skip
    assert bit_error(after, before) <= 0.01
    assert after["dc_offset"] == pytest.approx(before["dc_offset"] + offset, abs=1e-3)  # of samples that are not zero


@given(number=clips, rate_hz=rates, hz=st.floats(1, 30), level=st.floats(0, 0.15), turn=st.floats(0, 1))
@examples
def test_a_tone_under_30_hz_changes_nothing_but_the_rumble(
    number: int, rate_hz: int, hz: float, level: float, turn: float
) -> None:
    audio = speech(number, rate_hz)
    tone = level * np.sin(2 * np.pi * (hz * np.arange(len(audio)) / rate_hz + turn))
    before, after = as_it_is(number, rate_hz), measured(audio + tone, rate_hz)
    assert_close(
        after, before, rms_dbfs=0.05, silence_share=5 * FRAME, snr_db=2.0, pause_snr_db=1.0, speech_share=3 * CHUNK,
        bandwidth_hz=BIN_HZ, hum_db=1.0,
    )  # fmt: skip
    assert bit_error(after, before) <= 0.05
    assert after["rumble_db"] >= before["rumble_db"] - 3


@given(number=clips, rate_hz=rates, gain_db=st.floats(-12, 6))
@examples
def test_a_gain_changes_the_level_alone(number: int, rate_hz: int, gain_db: float) -> None:
    """But for silence, which is under an absolute level: a gain makes no loud frame silent."""
    before = as_it_is(number, rate_hz)
    after = measured(speech(number, rate_hz) * np.float32(10 ** (gain_db / 20)), rate_hz)
    assert after["rms_dbfs"] == pytest.approx(before["rms_dbfs"] + gain_db, abs=0.05)
    assert_close(after, before, snr_db=1.0, bandwidth_hz=BIN_HZ, hum_db=0.5, rumble_db=0.5)
    assert bit_error(after, before) <= 0.03
    assert (after["silence_share"] - before["silence_share"]) * np.sign(gain_db) <= FRAME
    assert_close(after, before, pause_snr_db=1.0, speech_share=2 * CHUNK)


@given(number=clips, rate_hz=rates, ends_s=ends, offset=st.sampled_from([0, 0.1]))
@examples
def test_digital_silence_at_the_ends_changes_shares_by_its_own(
    number: int, rate_hz: int, ends_s: tuple[float, float], offset: float
) -> None:
    """Level, silence and speech are of a longer clip then; a fingerprint is of the whole clip, so of another one; a
    voice that begins at once has the bandwidth of a click.
    """
    audio = speech(number, rate_hz) + np.float32(offset)
    zeros = [np.zeros(int(each * rate_hz), np.float32) for each in ends_s]
    padded = np.concatenate((zeros[0], audio, zeros[1]))
    own = len(audio) / len(padded)
    before, after = measured(audio, rate_hz), measured(padded, rate_hz)
    assert after["rms_dbfs"] == pytest.approx(before["rms_dbfs"] + 10 * np.log10(own), abs=0.05)
    assert after["silence_share"] == pytest.approx(own * before["silence_share"] + 1 - own, abs=0.08)
    assert after["zero_share"] == pytest.approx(own * before["zero_share"] + 1 - own, abs=1e-9)
    assert_close(after, before, snr_db=0.3, dc_offset=1e-6, rumble_db=2.0)
    if rate_hz >= TELEPHONE_HZ:  # the detector knows nothing narrower; its chunks are cut elsewhere
        assert after["speech_share"] == pytest.approx(own * before["speech_share"], abs=0.15)
        if before["pause_snr_db"] is not None and after["pause_snr_db"] is not None:
            assert within_reach(after) == pytest.approx(within_reach(before), abs=6.0)


@given(number=clips, ends_s=st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)), offset=st.sampled_from([0, -0.2]))
@examples
def test_more_of_the_room_at_the_ends_leaves_speech_over_pauses(
    number: int, ends_s: tuple[float, float], offset: float
) -> None:
    """The room: noise as loud as the pauses are."""
    rate_hz = 16_000
    audio = speech(number, rate_hz)
    before = measured(audio, rate_hz)
    if before["pause_snr_db"] is None:
        return
    voice_db = before["rms_dbfs"] - 10 * np.log10(max(before["speech_share"], 0.1))
    room = 10 ** ((voice_db - before["pause_snr_db"]) / 20)
    rng = np.random.default_rng(0)
    ends = [rng.normal(0, room, int(each * rate_hz)) for each in ends_s]
    after = measured(np.concatenate((ends[0], audio, ends[1])) + offset, rate_hz)
    assert within_reach(after) == pytest.approx(within_reach(before), abs=3.0)


def test_the_examples_are_speech_with_noise_under_and_over_the_ceiling() -> None:
    found = [as_it_is(number, 16_000) for number in range(len(VOICES))]
    assert min(each["speech_share"] for each in found) > 0.4
    assert {each["snr_db"] >= CEILING_DB for each in found} == {True, False}
