from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from allears.audio import highpass
from allears.audio.highpass import DIGITAL_SILENCE, ORDER, Highpassed, _pieces

RATES_HZ = (1_000, 4_000, 8_000, 11_025, 16_000, 44_100, 48_000)


def heard(audio: NDArray[np.floating], rate_hz: int = 16_000) -> NDArray[np.float32]:
    return Highpassed(audio.astype(np.float32), rate_hz).part(0, len(audio))


def decibels(audio: NDArray[np.floating]) -> float:
    return 10 * float(np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20))


def slow(audio: NDArray[np.floating], rate_hz: int) -> NDArray[np.float64]:
    """The minimum by least squares over a dense matrix: data above, penalty below."""
    step = rate_hz // 250
    blocks = -(-len(audio) // step)
    pieces, rows = _pieces(step), np.zeros((blocks * step, blocks + 3))
    for block in range(blocks):
        rows[block * step : (block + 1) * step, block : block + 4] = pieces.T
    padded = np.pad(audio.astype(np.float64), (0, len(rows) - len(audio)), mode="edge")
    weight = (2 * np.sin(np.pi * 50 * step / rate_hz)) ** -ORDER * np.sqrt(step)
    penalty = weight * np.diff(np.eye(blocks + 3), ORDER, axis=0)
    wanted = np.concatenate((padded, np.zeros(len(penalty))))
    found = np.linalg.lstsq(np.concatenate((rows, penalty)), wanted, rcond=None)[0]
    return (padded - rows @ found)[: len(audio)]


@pytest.mark.parametrize("rate_hz", [1_000, 8_000])
def test_it_is_the_penalised_least_squares_fit_taken_off(rate_hz: int) -> None:
    audio = np.random.default_rng(0).normal(0.2, 0.1, rate_hz // 2 + 7)
    np.testing.assert_allclose(heard(audio, rate_hz), slow(audio, rate_hz), atol=1e-5)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_response_is_what_is_promised_at_every_rate(rate_hz: int) -> None:
    time = np.arange(3 * rate_hz) / rate_hz
    inside, end = slice(rate_hz, -rate_hz), slice(0, rate_hz // 50)

    def response(hz: float, where: slice) -> float:
        tone = 0.5 * np.cos(2 * np.pi * hz * time + 1)
        return decibels(heard(tone, rate_hz)[where]) - decibels(tone[inside])

    assert max(response(hz, inside) for hz in (1, 5, 10, 20, 30)) < -62
    assert response(50, inside) == pytest.approx(-4, abs=0.1)
    assert min(response(hz, inside) for hz in (60, 80, 200, 230, 250, 490)) > -0.4
    assert max(response(hz, end) for hz in (1, 5, 10, 20, 30)) < -47


@pytest.mark.parametrize("rate_hz", [50, 300, *RATES_HZ])
@pytest.mark.parametrize("samples", [1, 2, 3, 5, 17, 64, 65, 300, 3_000])
def test_of_a_constant_nothing_is_left_however_short(samples: int, rate_hz: int) -> None:
    assert np.abs(heard(np.full(samples, 0.5), rate_hz)).max() < 1e-5
    assert np.isfinite(heard(np.random.default_rng(0).normal(size=samples), rate_hz)).all()
    assert len(heard(np.zeros(0), rate_hz)) == 0


@pytest.mark.parametrize("offset", [0.0, 0.085, -0.9])
def test_a_step_between_digital_silence_and_an_offset_leaves_no_trace(offset: float) -> None:
    room = np.random.default_rng(0).normal(0, 1e-3, 48_000)
    audio = room + offset
    gaps = np.zeros(48_000, dtype=bool)
    gaps[:500] = gaps[16_000:24_007] = gaps[-333:] = True
    audio[gaps] = 0
    found = heard(audio)
    assert not found[gaps].any()
    for part in (slice(500, 900), slice(15_600, 16_000), slice(24_007, 24_407), slice(47_267, 47_667)):
        assert decibels(found[part]) < decibels(room) + 12  # the offset is up to 59 dB louder
    np.testing.assert_allclose(found[30_000:40_000], heard(room)[30_000:40_000], atol=1e-6)


def test_samples_that_are_zero_by_chance_are_no_digital_silence() -> None:
    audio = 0.1 * np.sin(2 * np.pi * 20 * np.arange(16_000) / 16_000)
    audio[::10] = DIGITAL_SILENCE / 2
    assert np.count_nonzero(heard(audio)[::10]) > 1_500


def test_blocks_give_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.random.default_rng(0).normal(0.3, 0.1, 16_000 * 30).astype(np.float32)
    whole = heard(audio)
    monkeypatch.setattr(highpass, "BLOCK_KNOTS", 1_000)
    monkeypatch.setattr(highpass, "BLOCK_SAMPLES", 10_007)
    monkeypatch.setattr(highpass, "WHOLE_SAMPLES", 0)
    sound = Highpassed(audio, 16_000)
    np.testing.assert_allclose(np.concatenate(list(sound.blocks(512))), whole, atol=1e-6)
    np.testing.assert_allclose(sound.part(12_345, 54_321), whole[12_345:54_321], atol=1e-6)


def test_rumble_is_the_power_of_what_was_taken_off_without_its_mean() -> None:
    time = np.arange(48_000) / 16_000
    audio = np.concatenate((np.zeros(16_000), 0.3 + 0.1 * np.sin(2 * np.pi * 20 * time), np.zeros(16_000)))
    assert Highpassed(audio.astype(np.float32), 16_000).rumble_power == pytest.approx(0.005, rel=0.02)
