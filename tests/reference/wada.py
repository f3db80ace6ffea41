"""WADA's table from its model, by numerical integration: slow and obvious."""

from __future__ import annotations

import numpy as np
from scipy import special, stats


def wada_statistic(snr_db: float, *, shape: float = 0.4, points: int = 100_000) -> float:
    """ln E|s + n| - E ln|s + n| for s gamma-distributed (either sign), n Gaussian, at a signal-to-noise ratio in dB."""
    speech = stats.gamma.ppf((np.arange(points) + 0.5) / points, shape)
    power = shape * (shape + 1)
    noise = np.sqrt(power * 10 ** (-snr_db / 10))
    z = speech / noise
    mean = noise * np.mean(np.sqrt(2 / np.pi) * np.exp(-z * z / 2) + z * special.erf(z / np.sqrt(2)))
    return float(np.log(mean) - np.log(noise) - np.mean(_mean_log(z)))


def _mean_log(z: np.ndarray) -> np.ndarray:
    """E ln|z + N(0, 1)|: half the mean log of a noncentral chi-square, a Poisson mixture of digammas."""
    grid = np.linspace(0, 12, 2401)
    terms = np.arange(400)
    weights = stats.poisson.pmf(terms[None, :], (grid**2 / 2)[:, None])
    small = 0.5 * (np.log(2) + weights @ special.digamma(terms + 0.5))
    far = np.maximum(z, 12)
    return np.where(z < 12, np.interp(z, grid, small), np.log(far) - 1 / (2 * far**2) - 3 / (4 * far**4))
