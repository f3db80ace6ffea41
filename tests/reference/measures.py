"""The measures of a clip as loops over samples: slow and obvious."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence


def clipped_share(audio: Sequence[float], level: float) -> float:
    return sum(1 for x in audio if abs(x) >= level) / len(audio)


def dc_offset(audio: Sequence[float]) -> float:
    return math.fsum(audio) / len(audio)


def rms_dbfs(audio: Sequence[float]) -> float:
    return 10 * math.log10(math.fsum(x * x for x in audio) / len(audio))


def silence_share(audio: Sequence[float], rate_hz: int, silence_dbfs: float, below_loud_db: float) -> float:
    size = round(0.032 * rate_hz)
    frames = [audio[first : first + size] for first in range(0, len(audio), size)]
    levels = [10 * math.log10(math.fsum(x * x for x in frame) / len(frame) + 1e-30) for frame in frames]
    cut = silence_dbfs
    soft, loud = (sorted(levels)[int(share * (len(levels) - 1))] for share in (0.25, 0.9))
    if loud >= silence_dbfs or loud > soft + 6:
        cut = min(cut, max(loud - below_loud_db, -68))
    return sum(level < cut for level in levels) / len(levels)


def mean_power(audio: Sequence[float], rate_hz: int) -> list[float]:
    """Mean over Hann frames of 32 ms with 16 ms hop of the power in each bin, by the definition of the DFT."""
    size = round(0.032 * rate_hz)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / size) for n in range(size)]
    scale = 2 / sum(window)
    total, frames = [0.0] * (size // 2 + 1), 0
    for first in range(0, len(audio) - size + 1, size // 2):
        frames += 1
        for k in range(size // 2 + 1):
            turn = -2j * math.pi * k / size
            value = sum(audio[first + n] * window[n] * scale * cmath.exp(turn * n) for n in range(size))
            total[k] += abs(value) ** 2
    return [power / frames for power in total]


def bandwidth_hz(power: Sequence[float], bin_hz: float, drop_db: float) -> float:
    peak = max(value for k, value in enumerate(power) if k * bin_hz > 60)
    highest = 0
    for k, value in enumerate(power):
        if value > 0 and 10 * math.log10(value / peak) >= -drop_db:
            highest = k
    return highest * bin_hz
