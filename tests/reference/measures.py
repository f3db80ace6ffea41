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
    sounding = sorted(level for level in levels if level >= 20 * math.log10(2**-16)) or levels
    soft, loud = sorted(levels)[int(0.25 * (len(levels) - 1))], sounding[int(0.9 * (len(sounding) - 1))]
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


def pause_snr_db(
    audio: Sequence[float], probabilities: Sequence[float], size: int, *, speech_from: float, pause_under: float,
    near: int, least: int, share: float,
) -> float | None:  # fmt: skip
    """Level of the chunks of `size` samples that are speech over the `share` quantile of the pauses.

    Pauses are more than `near` chunks away from speech and no digital silence.
    """
    speech, pauses = [], []
    for n in range(min(len(audio) // size, len(probabilities))):
        power = math.fsum(x * x for x in audio[n * size : (n + 1) * size]) / size
        around = probabilities[max(n - near, 0) : n + near + 1]
        if probabilities[n] >= speech_from:
            speech.append(power)
        elif probabilities[n] < pause_under and max(around) < speech_from and power >= 2**-32:
            pauses.append(power)
    if min(len(speech), len(pauses)) < least:
        return None
    noise = max(sorted(pauses)[int(share * (len(pauses) - 1))], 1e-12)
    voice = max(math.fsum(speech) / len(speech) - noise, 1e-12)
    return min(max(10 * math.log10(voice / noise), -20), 100)


def hum_db(audio: Sequence[float], rate_hz: int, mains_hz: int) -> float:
    """By how many dB the second strongest of five harmonics stands out, at a rate of 1,000 to 1,999 Hz: by the DFT at
    each quarter of a Hz, of windows of a second every half.
    """
    windows = [audio[at : at + rate_hz] for at in range(0, len(audio) - rate_hz + 1, rate_hz // 2)]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / (rate_hz - 1)) for n in range(rate_hz)]

    def level(hz: float) -> float:
        turns = [cmath.exp(-2j * math.pi * hz / rate_hz * n) * weight for n, weight in enumerate(hann)]
        powers = [abs(sum(x * turn for x, turn in zip(window, turns, strict=True))) ** 2 for window in windows]
        return math.fsum(10 * math.log10(power + 1e-12) for power in powers) / len(powers)

    standing = []
    for line in (mains_hz * harmonic for harmonic in range(1, 6)):
        near = {line + step / 4: level(line + step / 4) for step in range(-8, 9)}
        far = sorted(level(line + side * step / 4) for side in (-1, 1) for step in range(12, 37))
        beside = (far[len(far) // 2 - 1] + far[len(far) // 2]) / 2
        strongest = max(near, key=lambda hz: near[hz])
        standing.append(near[strongest] - beside if abs(strongest - line) <= 0.004 * line + 0.25 else 0.0)
    return sorted(standing)[-2]
