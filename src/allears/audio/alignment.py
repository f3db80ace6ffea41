"""Whether two recordings are one: do their waveforms agree everywhere, once one is moved onto the other?

A codec keeps the waveform of what is loud; a speaker, or a synthetic voice, who says the same again does not repeat it.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from allears.audio.highpass import Highpassed
from allears.frames import to_samples

RATE_HZ = 8_000  # telephone copies have no more
WINDOW_S = 0.2
MAX_LAG_S = 0.15  # codecs pad by less
LOUD = 0.05  # of the energy of the loudest window: what is softer is the codec's noise
LEAST = 0.05  # the quantile of the loud windows: a dropout is forgiven, another word is not

Floats = NDArray[np.float32]


def least_correlation(one_T: Floats, other_T: Floats) -> float:
    """The correlation in [0, 1] that all but a twentieth of the loud windows of 0.2 s reach; 0 where nothing is heard.

    Both mono at RATE_HZ; what lies under 50 Hz does not count, as a codec may take it away. The lag within MAX_LAG_S at
    which the whole correlates most, by sign too, is the same for all windows; a sentence that agrees up to one word
    disagrees from there on.
    """
    one_T, other_T = (Highpassed(x, RATE_HZ).part(0, len(x)) for x in (one_T, other_T))
    one_T, other_T = _moved(one_T, other_T)
    size = min(len(one_T), to_samples(WINDOW_S, RATE_HZ))
    if size < 2:
        return 0.0
    one_NT, other_NT = (np.lib.stride_tricks.sliding_window_view(x, size)[:: size // 2] for x in (one_T, other_T))
    one_N, other_N = (np.einsum("nt,nt->n", x_NT, x_NT, dtype=np.float64) for x_NT in (one_NT, other_NT))
    if min(one_N.max(), other_N.max()) <= 0:
        return 0.0
    loud = (one_N >= LOUD * one_N.max()) | (other_N >= LOUD * other_N.max())
    shared_N = np.abs(np.einsum("nt,nt->n", one_NT[loud], other_NT[loud], dtype=np.float64))
    norm_N = np.sqrt(one_N[loud] * other_N[loud])
    correlation_N = np.divide(shared_N, norm_N, out=np.zeros_like(norm_N), where=norm_N > 0)
    return float(np.quantile(correlation_N, LEAST))


def _moved(one_T: Floats, other_T: Floats) -> tuple[Floats, Floats]:
    """What both have in common at the best lag, of equal length."""
    most = to_samples(MAX_LAG_S, RATE_HZ)
    size = scipy.fft.next_fast_len(max(1, len(one_T) + len(other_T) + most), real=True)
    spectrum = np.conj(scipy.fft.rfft(one_T, size)) * scipy.fft.rfft(other_T, size)
    shared_T = np.abs(scipy.fft.irfft(spectrum, size))
    lag = int(np.argmax(np.concatenate((shared_T[-most:], shared_T[: most + 1])))) - most
    one_T, other_T = one_T[max(-lag, 0) :], other_T[max(lag, 0) :]
    shared = min(len(one_T), len(other_T))
    return one_T[:shared], other_T[:shared]
