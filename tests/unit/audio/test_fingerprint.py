from __future__ import annotations

import numpy as np
import pytest

from allears.audio import fingerprint as fp
from allears.audio.highpass import Highpassed
from allears.audio.measures import spectrum_blocks


def words_of(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    blocks = spectrum_blocks(Highpassed(audio.astype(np.float32), rate_hz))
    return fp.as_words([fp.fingerprint(np.concatenate([fp.band_energies(b.power_FK, b.bin_hz) for b in blocks]))])


def babble(seed: int, rate_hz: int = 16_000, seconds: float = 2.0) -> np.ndarray:
    """Noise whose bands swell and fade: as varied as speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    audio = np.zeros_like(time)
    for _ in range(60):
        tone, start, width = rng.uniform(150, 3_600), rng.uniform(0, seconds), rng.uniform(0.05, 0.3)
        audio += np.exp(-(((time - start) / width) ** 2)) * np.sin(2 * np.pi * tone * time + rng.uniform(0, 6))
    return 0.1 * audio


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(fp.distances(one[0], other)[0])


def test_the_same_audio_is_at_zero() -> None:
    words = words_of(babble(0), 16_000)
    assert words.shape == (1, fp.PIECES)
    assert distance(words, words) == 0


def test_level_rate_and_noise_of_a_codec_change_few_bits() -> None:
    import soxr

    audio = babble(0)
    words = words_of(audio, 16_000)
    rng = np.random.default_rng(1)
    assert distance(words, words_of(0.2 * audio, 16_000)) < 0.03
    assert distance(words, words_of(soxr.resample(audio, 16_000, 44_100), 44_100)) < 0.1
    assert distance(words, words_of(soxr.resample(audio, 16_000, 8_000), 8_000)) < 0.1
    assert distance(words, words_of(audio + rng.normal(0, 0.002, len(audio)), 16_000)) < 0.15


def test_other_audio_differs_in_near_half_of_the_bits() -> None:
    many = np.concatenate([words_of(babble(seed), 16_000) for seed in range(12)])
    errors = np.concatenate([fp.distances(many[i], many[i + 1 :]) for i in range(11)])
    assert errors.min() > 0.27
    assert 0.4 < errors.mean() < 0.55


def test_clips_that_share_no_sound_are_not_compared() -> None:
    silence = words_of(np.zeros(16_000), 16_000)
    click = np.zeros(32_000)
    click[100:900] = babble(0)[:800]
    assert distance(silence, silence) == 1
    assert distance(words_of(click, 16_000), silence) == 1


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_has_a_fingerprint(rate_hz: int) -> None:
    assert words_of(babble(0, rate_hz, 0.5), rate_hz).shape == (1, fp.PIECES)


def test_three_samples_have_a_fingerprint() -> None:
    assert words_of(np.array([0.1, -0.1, 0.1]), 16_000).shape == (1, fp.PIECES)
