"""Mains hum: 50 or 60 Hz and its harmonics as lines that do not move, unlike a low voice.

Levels in dB are averaged over Hann windows of a second: a line is in all of them, the harmonics of a voice are here now
and there then. A frequency counts by its *second* strongest harmonic, so that one steady tone is no hum.

Legend: `T` samples, `W` windows, `K` frequency bins, `M` mains frequencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

MAINS_HZ = (50, 60)
HARMONICS = (1, 2, 3, 4, 5)  # the sixth of 50 Hz is the fifth of 60
LOW_RATE_HZ = 1000  # about the rate at which the lines are looked for
WINDOW_S = 1.0
PADDED = 4
BIN_HZ = 1 / (WINDOW_S * PADDED)
DRIFT = 0.004  # of the frequency: mains keep to 0.2 Hz, sound cards to less
PEAK_HZ = 2.0  # a line is the strongest so far to either side: half the width of a Hann window's main lobe
NEAR_HZ, FAR_HZ = 3.0, 9.0  # what it stands out from; the other mains frequency is 10 Hz away
BLOCK_WINDOWS = 256
SILENT_POWER = 1e-12  # of a window: -120 dBFS

Floats = NDArray[np.float32]


class Hum(NamedTuple):
    """By how many dB the lines of a mains frequency stand out from their neighbourhood."""

    prominence_db: float
    mains_hz: float


def mains_hum(audio_T: Floats, rate_hz: int) -> Hum | None:
    """The mains frequency, of MAINS_HZ, whose lines stand out more; by some 2 dB where there is no hum.

    None for a clip under a second, for digital silence and for rates under 1 kHz.
    """
    step = rate_hz // LOW_RATE_HZ
    if step < 1:
        return None
    low_T = audio_T[: len(audio_T) // step * step].reshape(-1, step) @ np.full(step, 1 / step, np.float32)
    mean_db_K = _mean_level(low_T, round(rate_hz / step * WINDOW_S))
    if mean_db_K is None:
        return None
    standing_M = _standing_db(mean_db_K)
    strongest = int(standing_M.argmax())
    return Hum(float(standing_M[strongest]), float(MAINS_HZ[strongest]))


def _mean_level(low_T: Floats, size: int) -> NDArray[np.float64] | None:
    """Mean over windows of the level [K] in dB; None where there is no window with sound in it."""
    bins = round((MAINS_HZ[-1] * HARMONICS[-1] + FAR_HZ) / BIN_HZ) + 2
    total_K, count = np.zeros(bins), 0
    for windows_WT in _windows(low_T, size):
        heard_WT = windows_WT[np.square(windows_WT).mean(axis=1) > SILENT_POWER]
        bins_WK = scipy.fft.rfft(heard_WT * np.hanning(size).astype(np.float32), size * PADDED)[:, :bins]
        power_WK = bins_WK.real**2 + bins_WK.imag**2
        total_K += 10 * np.log10(power_WK + np.float32(SILENT_POWER)).sum(axis=0, dtype=np.float64)
        count += len(heard_WT)
    return total_K / count if count else None


def _windows(low_T: Floats, size: int) -> Iterator[Floats]:
    if len(low_T) < size:
        return
    windows_WT = np.lib.stride_tricks.sliding_window_view(low_T, size)[:: size // 2]
    for first in range(0, len(windows_WT), BLOCK_WINDOWS):
        yield windows_WT[first : first + BLOCK_WINDOWS]


def _standing_db(level_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the second strongest line of each mains frequency stands above the median to both its sides.

    A line counts 0 where the peak lies beside it.
    """
    lines = np.outer(MAINS_HZ, HARMONICS).ravel()
    near, far = np.arange(-PEAK_HZ, PEAK_HZ + BIN_HZ, BIN_HZ), np.arange(NEAR_HZ, FAR_HZ + BIN_HZ, BIN_HZ)
    around = _levels(level_K, lines, near)
    beside = np.median(_levels(level_K, lines, np.concatenate((-far, far))), axis=1)
    off_hz = np.abs(near[around.argmax(axis=1)])
    standing = np.where(off_hz <= DRIFT * lines + BIN_HZ, around.max(axis=1) - beside, 0.0)
    second: NDArray[np.float64] = np.sort(standing.reshape(len(MAINS_HZ), -1), axis=1)[:, -2]
    return second


def _levels(level_K: NDArray[np.float64], lines: NDArray[np.int64], off_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The levels [line, offset] so far off each line."""
    levels: NDArray[np.float64] = level_K[np.rint((lines[:, None] + off_hz) / BIN_HZ).astype(np.int64)]
    return levels
