"""A fingerprint of 128 bytes a clip that survives another codec, bit rate, sample rate and level.

After Haitsma & Kalker 2002, "A highly robust audio fingerprinting system", section 4.2: a bit is the sign of how the
energy difference of neighbouring bands changes over time. Deviations: the clip is cut into 33 equal pieces of time
(instead of a fixed hop), so that every clip has the same 1024 bits and is compared as a whole; bands from 200 to 3,400
Hz, which an 8 kHz recording has too; energies are compressed, with a floor under the clip's own peak, because exact
silence would give bits of pure rounding noise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

VERSION = 2
PIECES = 32
BANDS = 32
BITS = PIECES * BANDS
LOWEST_HZ = 200.0
HIGHEST_HZ = 3400.0
FLOOR_DB = 50.0
STEP = 0.02  # nepers: what is under the floor gives no bits at all
MIN_PIECES = 8
BLOCK_FRAMES = 8192

Floats = NDArray[np.float32]


def band_energies(power_FK: Floats, bin_hz: float) -> NDArray[np.float32]:
    """Energies [F, BANDS + 1] of a power spectrum [F, K] in bands of equal width on the mel scale.

    A sum over neighbouring bins: a matrix product would start threads of its own in every worker process.
    """
    edges = _band_edges(bin_hz, power_FK.shape[1])
    energy_FB: NDArray[np.float32] = np.add.reduceat(power_FK[:, : edges[-1] + 1], edges[:-1], axis=1)
    return energy_FB


def fingerprint(energy_FB: Floats) -> bytes:
    """The 128 bytes of a clip from its band energies [frames, BANDS + 1]."""
    frames = len(energy_FB)
    edges = np.linspace(0, frames, PIECES + 2)
    whole = np.minimum(edges.astype(np.int64), frames - 1)
    before, after = np.split(_sums_up_to(energy_FB, np.concatenate((whole, whole + 1))), 2)
    at_edges = before + (edges - whole)[:, None] * (after - before)
    pieces_PB = np.diff(at_edges, axis=0) / (frames / (PIECES + 1))
    floor = max(float(pieces_PB.max()) * 10 ** (-FLOOR_DB / 10), 1e-12)
    log_PB = np.log(pieces_PB + floor)
    across_bands = np.diff(log_PB, axis=1)
    bits = np.diff(across_bands, axis=0) > STEP
    return np.packbits(bits).tobytes()


def _sums_up_to(energy_FB: Floats, frames_E: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums [E, bands] of the first so many frames, added one after the other."""
    sums = np.zeros((len(frames_E), energy_FB.shape[1]))
    total = sums[:1] * 0.0
    for first in range(0, len(energy_FB), BLOCK_FRAMES):
        total = np.cumsum(np.vstack([total[-1:], energy_FB[first : first + BLOCK_FRAMES]]), axis=0)
        inside = (frames_E > first) & (frames_E <= first + BLOCK_FRAMES)
        sums[inside] = total[frames_E[inside] - first]
    return sums


def distances(ones_NP: NDArray[np.uint32], others_NP: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Share of differing bits of fingerprints [N, P], or one [P], and others: 0 for equal, about 0.5 for unrelated.

    Pieces where both are silent do not count; a pair that shares fewer than MIN_PIECES pieces of sound is at 1.
    """
    heard_N = np.bitwise_count(np.packbits((ones_NP | others_NP) != 0, axis=1).view(np.uint32))[:, 0]
    counts_NW = np.bitwise_count(np.ascontiguousarray(ones_NP ^ others_NP).view(np.uint64))
    differing_N = counts_NW.astype(np.float32) @ np.ones(
        PIECES // 2, dtype=np.float32
    )  # a sum over rows takes 5 times as long
    share_N = differing_N / np.maximum(heard_N.astype(np.float64) * BANDS, 1)
    return np.where(heard_N >= MIN_PIECES, share_N, 1.0)


def as_words(fingerprints: list[bytes]) -> NDArray[np.uint32]:
    """[N, PIECES] words of BANDS bits for `distances`; an item of the list may hold several fingerprints."""
    return np.frombuffer(b"".join(fingerprints), dtype=np.uint32).reshape(-1, PIECES)


@lru_cache(maxsize=32)
def _band_edges(bin_hz: float, bins: int) -> NDArray[np.int64]:
    """First bin of each band, and the end of the last; a recording of a very low rate repeats its highest bins."""
    mels = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    edges = np.rint(700 * np.expm1(mels / 1127) / bin_hz).astype(np.int64)
    edges = np.maximum.accumulate(np.maximum(edges, edges[0] + np.arange(len(edges))))
    return np.minimum(edges, bins - 1)


def _mel(hz: float) -> float:
    return 1127.0 * float(np.log1p(hz / 700))
