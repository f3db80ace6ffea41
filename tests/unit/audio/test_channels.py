from __future__ import annotations

import numpy as np
import pytest

from allears.audio.channels import LIMIT_DB, ChannelMeasures, measure_channels
from allears.audio.highpass import Highpassed

RNG = np.random.default_rng(0)
LONG = 200_000  # several blocks
RATE_HZ = 16_000


def measured(*channels: np.ndarray) -> ChannelMeasures:
    return measure_channels(np.stack(channels, axis=1).astype(np.float32), RATE_HZ)


def noise(level: float = 0.1, length: int = LONG) -> np.ndarray:
    return RNG.normal(0, level, length)


def test_the_definition_in_one_line_each() -> None:
    audio = np.stack([noise(0.1), noise(0.02), 0.3 * noise(0.1)], axis=1).astype(np.float32)
    wide = np.stack([Highpassed(audio[:, c], RATE_HZ).part(0, LONG) for c in range(3)], axis=1).astype(np.float64)
    mid = wide.mean(axis=1)
    found = measure_channels(audio, RATE_HZ)
    assert found.side_db == pytest.approx(
        10 * np.log10(np.mean((wide - mid[:, None]) ** 2) / np.mean(wide**2)), abs=1e-3
    )
    assert found.mix_loss_db == pytest.approx(10 * np.log10(np.mean(wide**2) / np.mean(mid**2)), abs=1e-3)
    power = np.mean(wide**2, axis=0)
    assert found.weakest_channel_db == pytest.approx(10 * np.log10(power.min() / power.max()), abs=1e-3)


def test_mono_stored_twice_shares_all() -> None:
    voice = noise()
    found = measured(voice, voice)
    assert (found.side_db, found.weakest_channel_db) == (-LIMIT_DB, 0)
    assert found.mix_loss_db == pytest.approx(0, abs=1e-4)
    assert measured(voice, voice + noise(1e-4)).side_db == pytest.approx(-66, abs=0.5)


def test_an_inverted_channel_cancels() -> None:
    voice = noise()
    found = measured(voice, -voice)
    assert (found.side_db, found.mix_loss_db) == (0, LIMIT_DB)
    assert measured(voice, -voice + noise(0.01)).mix_loss_db == pytest.approx(26, abs=0.5)


def test_unrelated_channels_lose_three_decibels() -> None:
    found = measured(noise(), noise())
    assert found.mix_loss_db == pytest.approx(3.01, abs=0.1)
    assert found.side_db == pytest.approx(-3.01, abs=0.1)


def test_a_dead_channel_is_told_from_a_quiet_one() -> None:
    voice = noise()
    assert measured(voice, 0 * voice).weakest_channel_db == -LIMIT_DB
    assert measured(voice, 0.1 * voice).weakest_channel_db == pytest.approx(-20, abs=1e-3)


def test_offsets_of_the_channels_hide_nothing() -> None:
    voice, other = noise(0.01), noise(0.01)
    inverted = measured(voice + 0.3, -voice + 0.3)
    assert inverted.mix_loss_db is not None
    assert inverted.mix_loss_db > 60
    assert measured(voice - 0.3, other - 0.3).side_db == pytest.approx(-3.01, abs=0.1)
    dead = measured(voice, np.full(LONG, 0.3)).weakest_channel_db
    assert dead is not None
    assert dead < -60


@pytest.mark.parametrize("audio", [np.ones((100, 1)), np.zeros((100, 2)), np.zeros((0, 2))])
def test_one_channel_and_silence_have_no_measures(audio: np.ndarray) -> None:
    assert measure_channels(audio.astype(np.float32), RATE_HZ) == ChannelMeasures()
