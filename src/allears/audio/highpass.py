"""Audio without its offset and what lies under some 50 Hz, as level, pauses, silence, noise and speech are measured.

The low part is a penalised spline (Eilers & Marx 1996, "Flexible smoothing with B-splines and penalties"): cubic
B-splines b, a knot every 4 ms, whose coefficients c minimise sum w (x - b c)² + penalty · sum (difference of order 8
of c)². Without it are left: at most -62 dB up to 30 Hz, -4 dB at CUTOFF_HZ, -0.4 dB and more from 60 Hz (within 20 ms
of an end -48 dB at 30 Hz, -1 dB at 100 Hz). Unlike a recursive filter this assumes nothing beyond the ends: an offset
is gone from the first sample to the last. Digital silence weighs next to nothing and stays zero, so that a step
between it and an offset leaves no trace.

Legend: `T` samples, `N` blocks of `step` samples, `K` = N + 3 knots, `J` = 4 pieces of a spline.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from allears.audio.blocks import BLOCK_SAMPLES

CUTOFF_HZ = 50.0
ORDER = 8  # the transition is that of a Butterworth filter of order 16, without its phase
KNOTS_HZ = 250  # at least: what lies over 200 Hz folds to under 50 Hz at -54 dB
DIGITAL_SILENCE = 2.0**-16  # amplitudes under it are zero in a 16-bit file
WHOLE_SAMPLES = 1 << 22  # 16 MB: a longer clip is computed anew for each measure
SILENT_WEIGHT = 1e-6  # of digital silence: enough to keep the spline from swinging there
BLOCK_KNOTS = 1 << 14
MARGIN_KNOTS = 192  # the influence of a sample falls by e in 32 ms: to 4e-11 over this many at 250 Hz

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Highpassed:
    """The samples of one clip [T] above CUTOFF_HZ, computed where they are asked for: a long clip is not held twice.

    `rumble_power`: mean square of what lies below, without its mean, outside of digital silence.
    """

    def __init__(self, audio_T: Floats, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._audio_T = audio_T
        self._step = max(1, rate_hz // KNOTS_HZ)
        low_K, self._silent_N = _low_part(audio_T, rate_hz, self._step)
        self._low_K = low_K.astype(np.float32)
        self.rumble_power = _rumble_power(low_K, self._silent_N)
        self._whole_T = self._cut(0, len(audio_T)) if len(audio_T) <= WHOLE_SAMPLES else None

    def __len__(self) -> int:
        return len(self._audio_T)

    def part(self, first: int, end: int) -> Floats:
        """The samples [first, end)."""
        end = min(end, len(self))
        return self._cut(first, end) if self._whole_T is None else self._whole_T[first:end]

    def blocks(self, multiple: int = 1) -> Iterator[Floats]:
        """All samples in blocks of some BLOCK_SAMPLES, of a `multiple` of samples but for the last."""
        size = max(BLOCK_SAMPLES // multiple, 1) * multiple
        return (self.part(first, first + size) for first in range(0, len(self), size))

    def _cut(self, first: int, end: int) -> Floats:
        if end <= first:
            return np.zeros(0, np.float32)
        step, from_N, to_N = self._step, first // self._step, -(-end // self._step)
        audio_NT = _in_steps(self._audio_T[from_N * step : to_N * step], step)
        knots_NJ = np.stack([self._low_K[from_N + piece : to_N + piece] for piece in range(4)], axis=1)
        above_NT = knots_NJ @ _pieces(step).astype(np.float32)
        np.subtract(audio_NT, above_NT, out=above_NT)
        silent_N = self._silent_N[from_N:to_N]
        if silent_N.any():
            above_NT[_silence(audio_NT, silent_N)] = 0
        return above_NT.reshape(-1)[first - from_N * step : end - from_N * step]


def _low_part(audio_T: Floats, rate_hz: int, step: int) -> tuple[NDArray[np.float64], Flags]:
    """The coefficients [K] of the spline, solved in overlapping blocks, and which blocks [N] are digital silence."""
    count = -(-len(audio_T) // step)
    low_K, silent_N = np.zeros(count + 3), np.zeros(count, dtype=bool)
    cutoff_hz = min(CUTOFF_HZ, rate_hz / 4)
    order = int(np.clip(2 * cutoff_hz * len(audio_T) / rate_hz, 1, ORDER))  # a short clip has no room for more
    penalty = step * (2 * np.sin(np.pi * cutoff_hz * step / rate_hz)) ** (-2 * order)
    for first in range(0, count, BLOCK_KNOTS):
        end = min(first + BLOCK_KNOTS, count)
        before, after = max(first - MARGIN_KNOTS, 0), min(end + MARGIN_KNOTS, count)
        block_NT = _in_steps(audio_T[before * step : after * step], step)
        onto_NJ = (block_NT @ _pieces(step).astype(np.float32).T).astype(np.float64)
        silent = _silent_blocks(block_NT, onto_NJ)
        solved_K = _solve(onto_NJ, silent, step, order, penalty)
        low_K[first : end + 3] = solved_K[first - before : end + 3 - before]
        silent_N[first:end] = silent[first - before : end - before]
    return low_K, silent_N


def _silent_blocks(audio_NT: Floats, onto_NJ: NDArray[np.float64]) -> Flags:
    """Return which blocks are digital silence; only those whose samples nearly add up to zero are looked at."""
    silent_N: Flags = np.abs(onto_NJ.sum(axis=1)) <= 2 * DIGITAL_SILENCE * audio_NT.shape[1]
    silent_N[silent_N] = (np.abs(audio_NT[silent_N]) < DIGITAL_SILENCE).all(axis=1)
    return silent_N


def _solve(onto_NJ: NDArray[np.float64], silent_N: Flags, step: int, order: int, penalty: float) -> NDArray[np.float64]:
    """The coefficients [K] from the products [N, J] of the samples with the pieces of the splines."""
    blocks = len(onto_NJ)
    system = _system(blocks, step, order, penalty)
    if silent_N.any():
        lost_N = np.where(_beside(silent_N), 1 - SILENT_WEIGHT, 0.0)
        _add_overlap(system, -lost_N, step)
        onto_NJ = onto_NJ * (1 - lost_N)[:, None]
    onto_K = np.zeros(blocks + 3)
    for piece in range(4):
        onto_K[piece : piece + blocks] += onto_NJ[:, piece]
    solved_K: NDArray[np.float64] = solveh_banded(
        system, onto_K, lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False
    )
    return solved_K


def _system(blocks: int, step: int, order: int, penalty: float) -> NDArray[np.float64]:
    """The matrix of the normal equations with equal weights, its diagonals [bands, K] from the main one down: the same
    in the middle, whatever the length.
    """
    edge = 2 * ORDER
    if blocks + 3 <= 2 * edge:
        return _short_system(blocks, step, order, penalty).copy(order="F")
    short = _short_system(2 * edge - 2, step, order, penalty)
    system = np.empty((len(short), blocks + 3), order="F")
    system[:] = short[:, edge : edge + 1]
    system[:, :edge], system[:, -edge:] = short[:, :edge], short[:, -edge:]
    return system


@lru_cache(maxsize=64)
def _short_system(blocks: int, step: int, order: int, penalty: float) -> NDArray[np.float64]:
    system = np.zeros((max(order + 1, 4), blocks + 3))
    _add_overlap(system, np.ones(blocks), step)
    difference = np.poly(np.ones(order))  # of 1, -2, 1 and so on
    rows = max(blocks + 3 - order, 0)
    for knot in range(order + 1):
        for below in range(order + 1 - knot):
            system[below, knot : knot + rows] += penalty * difference[knot] * difference[knot + below]
    return system


def _add_overlap(system: NDArray[np.float64], weight_N: NDArray[np.float64], step: int) -> None:
    """Add the products of the splines with each other over each block, weighted."""
    overlap = _pieces(step) @ _pieces(step).T
    for piece in range(4):
        for below in range(4 - piece):
            system[below, piece : piece + len(weight_N)] += overlap[piece, piece + below] * weight_N


@lru_cache(maxsize=32)
def _pieces(step: int) -> NDArray[np.float64]:
    """The four cubic pieces [J, step] that lie over one block; they add up to 1."""
    x = (np.arange(step) + 0.5) / step
    return np.stack([(1 - x) ** 3, 3 * x**3 - 6 * x**2 + 4, -3 * x**3 + 3 * x**2 + 3 * x + 1, x**3]) / 6


def _in_steps(audio_T: Floats, step: int) -> Floats:
    """[N, step]; what lacks at the end repeats the last sample."""
    blocks = -(-len(audio_T) // step)
    if blocks * step == len(audio_T):
        return np.ascontiguousarray(audio_T).reshape(blocks, step)
    padded_T = np.empty(blocks * step, np.float32)
    padded_T[: len(audio_T)], padded_T[len(audio_T) :] = audio_T, audio_T[-1]
    return padded_T.reshape(blocks, step)


def _beside(silent_N: Flags) -> Flags:
    """Silent blocks and their neighbours, in which the silence begins or ends."""
    beside_N = silent_N.copy()
    beside_N[1:] |= silent_N[:-1]
    beside_N[:-1] |= silent_N[1:]
    return beside_N


def _silence(audio_NT: Floats, silent_N: Flags) -> Flags:
    """The samples [N, step] of silent blocks, and of the silence that goes on into the blocks before and after them."""
    silent_NT = np.repeat(silent_N[:, None], audio_NT.shape[1], axis=1)
    after = np.flatnonzero(silent_N[:-1] & ~silent_N[1:]) + 1
    silent_NT[after] = np.logical_and.accumulate(np.abs(audio_NT[after]) < DIGITAL_SILENCE, axis=1)
    before = np.flatnonzero(silent_N[1:] & ~silent_N[:-1])
    backwards = np.logical_and.accumulate(np.abs(audio_NT[before, ::-1]) < DIGITAL_SILENCE, axis=1)
    silent_NT[before] |= backwards[:, ::-1]
    return silent_NT


def _rumble_power(low_K: NDArray[np.float64], silent_N: Flags) -> float:
    """Variance of the spline at its knots: of the samples between them as well, it moves slowly."""
    low_N = (low_K[:-3] + 4 * low_K[1:-2] + low_K[2:-1]) / 6
    sounding_N = low_N[~_beside(silent_N)] if silent_N.any() else low_N
    return float(np.var(sounding_N)) if len(sounding_N) else 0.0
