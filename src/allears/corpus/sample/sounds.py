"""Sounds that are no speech, made of numbers. Legend: `T` samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from allears.corpus.sample.clips import Sound

Floats = npt.NDArray[np.float64]


def make_sound(kind: Sound, seconds: float, rate_hz: int, rng: np.random.Generator) -> Floats:
    """`seconds` of one kind of sound, [T], peak 0.6."""
    time_T = np.arange(round(seconds * rate_hz)) / rate_hz
    match kind:
        case "rain":
            audio_T = _rain(time_T, rate_hz, rng)
        case "hum":
            audio_T = _hum(time_T, rng)
        case "clicks":
            audio_T = _clicks(time_T, rate_hz, rng)
        case "chirps":
            audio_T = _chirps(time_T, rng)
        case "alarms":
            audio_T = _alarm(time_T, rng)
    audio_T = audio_T + 1e-3 * rng.standard_normal(time_T.size)
    return np.asarray(0.6 * audio_T / np.abs(audio_T).max())


def _rain(time_T: Floats, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Noise above some hundred hertz, louder and softer, with drops that fall near."""
    steady_T = sosfilt(
        butter(2, rng.uniform(300, 900), "highpass", fs=rate_hz, output="sos"), rng.standard_normal(time_T.size)
    )
    swell_T = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time_T + rng.uniform(0, 6.28))
    return np.asarray(0.3 * steady_T * swell_T + 0.8 * _clicks(time_T, rate_hz, rng, a_second=25.0))


def _hum(time_T: Floats, rng: np.random.Generator) -> Floats:
    """A mains frequency and its harmonics."""
    base = rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
    parts = [
        rng.uniform(0.2, 1.0) / k * np.sin(2 * np.pi * base * k * time_T + rng.uniform(0, 6.28)) for k in range(1, 9)
    ]
    return np.asarray(np.sum(parts, axis=0) + 0.02 * rng.standard_normal(time_T.size))


def _clicks(time_T: Floats, rate_hz: int, rng: np.random.Generator, a_second: float = 5.0) -> Floats:
    """Short decaying bursts at random moments."""
    audio_T = np.zeros(time_T.size)
    length = round(0.02 * rate_hz)
    decay = np.exp(-np.arange(length) / (0.003 * rate_hz))
    for at in rng.integers(0, time_T.size - length, size=max(1, round(a_second * time_T[-1]))):
        audio_T[at : at + length] += rng.uniform(0.3, 1.0) * decay * rng.standard_normal(length)
    return audio_T


def _chirps(time_T: Floats, rng: np.random.Generator) -> Floats:
    """Birds: sweeps of a tenth of a second, in groups."""
    audio_T = np.zeros(time_T.size)
    for start in np.arange(0.2, time_T[-1] - 0.3, rng.uniform(0.25, 0.5)):
        low, high, length = rng.uniform(1500, 2200), rng.uniform(2400, 3500), rng.uniform(0.08, 0.18)
        local_T = time_T - start
        inside_T = (local_T >= 0) & (local_T < length)
        phase = 2 * np.pi * (low * local_T + (high - low) * local_T**2 / (2 * length))
        audio_T += inside_T * np.sin(np.pi * local_T / length) * np.sin(phase) * rng.uniform(0.4, 1.0)
    return audio_T


def _alarm(time_T: Floats, rng: np.random.Generator) -> Floats:
    """Two tones in turn, with pauses."""
    low, high, period = rng.uniform(600, 900), rng.uniform(950, 1500), rng.uniform(0.4, 0.9)
    phase_T = (time_T % period) / period
    tone_T = np.where(phase_T < 0.45, np.sin(2 * np.pi * low * time_T), np.sin(2 * np.pi * high * time_T))
    return np.asarray(
        np.where(phase_T < 0.9, tone_T, 0.0) + 0.3 * np.sin(2 * np.pi * 3 * low * time_T) * (phase_T < 0.45)
    )
