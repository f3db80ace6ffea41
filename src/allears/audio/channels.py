"""What the channels of a recording have to do with each other, before they are mixed.

Legend: `T` samples, `C` channels. With m the mean of the channels x, mean x² = mean m² + mean (x - m)²: what is in all
channels (mid) and what is not (side) add up to the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allears.audio.highpass import Highpassed

BLOCK_SAMPLES = 1 << 16
LIMIT_DB = 120.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMeasures:
    """Of a clip that mixes several channels, in dB within ±LIMIT_DB; None of any other, and of digital silence.

    side_db: power of what the channels do not share, over the whole: -120 for mono stored twice, -3 for two unrelated
    channels, 0 where one is the other inverted. mix_loss_db: how much power mixing takes away: 0 for mono, 3 for two
    unrelated ones, 120 where they cancel. weakest_channel_db: power of the weakest channel over that of the strongest.
    """

    side_db: float | None = None
    mix_loss_db: float | None = None
    weakest_channel_db: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Name → value."""
        return {name: getattr(self, name) for name in self.__slots__}


def measure_channels(audio_TC: Floats, rate_hz: int) -> ChannelMeasures:
    """The measures of `audio_TC`, of which every channel is mixed, without offset and what lies under 50 Hz."""
    channels = audio_TC.shape[1]
    if channels < 2:
        return ChannelMeasures()
    power_C = np.zeros(channels)
    mid = side = 0.0
    sounds = [Highpassed(audio_TC[:, channel], rate_hz) for channel in range(channels)]
    for first in range(0, len(audio_TC), BLOCK_SAMPLES):
        block_CT = np.stack([sound.part(first, first + BLOCK_SAMPLES) for sound in sounds])
        mean_T = block_CT.sum(axis=0) / np.float32(channels)
        power_C += [_power(each_T) for each_T in block_CT]
        mid += _power(mean_T) * channels
        side += sum(_power(each_T - mean_T) for each_T in block_CT)
    whole = float(power_C.sum())
    if not whole > 0:
        return ChannelMeasures()
    return ChannelMeasures(
        side_db=_decibels(side, whole),
        mix_loss_db=_decibels(whole, mid),
        weakest_channel_db=_decibels(float(power_C.min()), float(power_C.max())),
    )


def _power(audio_T: Floats) -> float:
    return float(audio_T @ audio_T)


def _decibels(power: float, of: float) -> float:
    """10 log10 of a ratio, within ±LIMIT_DB."""
    least = 10 ** (-LIMIT_DB / 10)
    if power <= of * least:
        return -LIMIT_DB
    return LIMIT_DB if of <= power * least else 10 * float(np.log10(power / of))
