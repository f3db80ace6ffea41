from __future__ import annotations

import numpy as np
import pytest

from allears.audio.hum import BIN_HZ, SILENT_POWER, _standing_db, mains_hum
from tests.real import REAL, needs_real
from tests.reference import measures as oracle

STANDS_OUT_DB = 10.0


def hum(seconds: float, rate_hz: int, mains_hz: float, level: float) -> np.ndarray:
    """Five harmonics, each 3 dB under the one before, with an RMS of `level`."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    audio = sum(10 ** (-3 * k / 20) * np.sin(2 * np.pi * mains_hz * (k + 1) * time + k) for k in range(5))
    return level * audio / np.sqrt(np.mean(np.square(audio)))


def noise(seconds: float, rate_hz: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, int(seconds * rate_hz))


def low_voice(seconds: float, rate_hz: int, pitch_hz: float) -> np.ndarray:
    """A pulse train whose pitch falls by a fifth in each second, as in a sentence."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1.1 - 0.2 * (time % 1))) / rate_hz
    return 0.1 * sum(np.sin(k * phase) for k in range(1, 8))


@pytest.mark.parametrize(("mains_hz", "level"), [(50, 0.02), (60.2, 0.05), (50, 0.0)])
def test_prominence_agrees_with_the_definition_of_the_dft(mains_hz: float, level: float) -> None:
    rate = 1_000
    audio = (noise(1.6, rate) + hum(1.6, rate, mains_hz, level)).astype(np.float32)
    expected = {hz: oracle.hum_db(audio.astype(float).tolist(), rate, hz) for hz in (50, 60)}
    found = mains_hum(audio, rate)
    assert found is not None
    assert found.prominence_db == pytest.approx(max(expected.values()), abs=1e-3)
    assert found.mains_hz == max(expected, key=lambda hz: expected[hz])


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("mains_hz", [50, 60])
def test_planted_hum_is_found_at_any_rate(rate_hz: int, mains_hz: int) -> None:
    found = mains_hum((noise(4, rate_hz) + hum(4, rate_hz, mains_hz, 0.05)).astype(np.float32), rate_hz)
    assert found is not None
    assert found.mains_hz == mains_hz
    assert found.prominence_db > STANDS_OUT_DB


def test_a_line_stands_out_by_its_level_over_the_noise() -> None:
    """A Hann window of N samples adds N/6 x (its noise bandwidth, 1.5 bins) to a line's power over white noise."""
    rate, level, sigma = 1_000, 0.05, 0.01
    time = np.arange(200 * rate) / rate
    audio = noise(200, rate, sigma) + level * (np.sin(2 * np.pi * 50 * time) + np.sin(2 * np.pi * 150 * time))
    found = mains_hum(audio.astype(np.float32), rate)
    assert found is not None
    median_of_log = 10 * np.log10(np.exp(-np.euler_gamma))  # the mean of log power of noise lies so far under its power
    expected = 10 * np.log10(level**2 / 4 * rate / 1.5 / sigma**2) - median_of_log
    assert found.prominence_db == pytest.approx(expected, abs=0.7)


@pytest.mark.parametrize("pitch_hz", [50, 60, 75, 100, 120])
def test_a_low_voice_is_no_hum(pitch_hz: float) -> None:
    audio = low_voice(5, 16_000, pitch_hz) + noise(5, 16_000, 0.003)
    found = mains_hum(audio.astype(np.float32), 16_000)
    assert found is not None
    assert found.prominence_db < STANDS_OUT_DB


def test_one_tone_is_no_hum() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 100 * np.arange(64_000) / 16_000)
    found = mains_hum((tone + noise(4, 16_000, 0.01)).astype(np.float32), 16_000)
    assert found is not None
    assert found.prominence_db < STANDS_OUT_DB


def test_a_peak_beside_the_line_does_not_count() -> None:
    level = np.zeros(round(320 / BIN_HZ))
    for at_hz in (50, 101.75, 151.5, 198.25):
        level[round(at_hz / BIN_HZ)] = 20.0
    assert _standing_db(level)[0] == 0
    level[round(100.25 / BIN_HZ)] = 30.0
    assert _standing_db(level)[0] == 20


def test_silence_around_changes_nothing() -> None:
    audio = (noise(6, 16_000) + hum(6, 16_000, 50, 0.03)).astype(np.float32)
    padded = np.concatenate((np.zeros(160_000, np.float32), audio))
    alone, with_silence = mains_hum(audio, 16_000), mains_hum(padded, 16_000)
    assert alone is not None
    assert with_silence is not None
    assert with_silence.prominence_db == pytest.approx(alone.prominence_db, abs=0.5)


@pytest.mark.parametrize(("samples", "rate_hz"), [(0, 16_000), (15_999, 16_000), (4_000, 500), (64_000, 16_000)])
def test_too_short_too_slow_and_silent_clips_have_none(samples: int, rate_hz: int) -> None:
    assert mains_hum(np.full(samples, np.sqrt(SILENT_POWER) / 2, np.float32), rate_hz) is None


@needs_real
def test_real_voices_do_not_hum_and_planted_hum_is_found() -> None:
    import soundfile

    files = sorted((REAL / "speechocean762" / "audio").rglob("*.*"))[::60]
    alone, planted = [], []
    for file in files:
        audio, rate = soundfile.read(file, dtype="float32")
        if len(audio) < 2 * rate:
            continue
        level = float(np.sqrt(np.mean(np.square(audio)))) * 10 ** (-20 / 20)
        both = audio + hum(len(audio) / rate + 0.1, rate, 60, level)[: len(audio)].astype(np.float32)
        for where, found in ((alone, mains_hum(audio, rate)), (planted, mains_hum(both, rate))):
            assert found is not None
            where.append(found)
    assert len(alone) > 20
    assert np.mean([found.prominence_db > STANDS_OUT_DB for found in alone]) < 0.06  # some rooms do hum
    assert np.mean([found.prominence_db > STANDS_OUT_DB and found.mains_hz == 60 for found in planted]) > 0.95
