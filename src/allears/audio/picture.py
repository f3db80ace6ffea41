"""A spectrogram as a small picture: mel-spaced rows from 0 Hz to half the sample rate, colour is level in dBFS.

Legend: `T` samples, `F` frames, `K` frequency bins, `H`, `W` rows and columns of the picture.
"""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from allears.audio.features import hertz_of_mel, mel_of_hertz
from allears.audio.measures import FLOOR, Floats, spectrum

WIDTH, HEIGHT = 480, 120
DARKEST_DBFS, BRIGHTEST_DBFS = -105.0, -25.0
# "magma" of matplotlib (Smith & van der Walt 2015) at ten even steps: even in lightness, dark enough for any page
_MAGMA = np.array([
    (0, 0, 4), (24, 15, 61), (68, 15, 118), (114, 31, 129), (158, 47, 127),
    (205, 64, 113), (241, 96, 93), (253, 150, 104), (254, 202, 141), (252, 253, 191),
])  # fmt: skip


def spectrogram(audio_T: Floats, rate_hz: int) -> NDArray[np.uint8]:
    """RGB [H, W, 3] of `audio_T`, stretched to WIDTH: time to the right, frequency upwards."""
    power_WK = _columns(spectrum(audio_T, rate_hz).power_FK)
    bins = power_WK.shape[1]
    mels = np.linspace(mel_of_hertz(0.0), mel_of_hertz(rate_hz / 2), HEIGHT)
    wanted_H = hertz_of_mel(mels) / (rate_hz / 2) * (bins - 1)
    level_WK = 10 * np.log10(np.maximum(power_WK, FLOOR))
    level_HW = np.stack([np.interp(wanted_H, np.arange(bins), column) for column in level_WK], axis=1)[::-1]
    return _coloured((level_HW - DARKEST_DBFS) / (BRIGHTEST_DBFS - DARKEST_DBFS))


def webp(image: NDArray[np.uint8]) -> bytes:
    """`image` [H, W, 3] as a lossy WebP of some kilobytes."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(image).save(target, format="WEBP", quality=55, method=4)
    return target.getvalue()


def _columns(power_FK: NDArray[np.float32]) -> NDArray[np.float32]:
    """WIDTH columns: the mean of the frames that fall into each, or in between two frames where there are fewer."""
    frames = len(power_FK)
    if frames <= WIDTH:
        place_W = np.linspace(0, frames - 1, WIDTH)
        left_W = place_W.astype(np.int64)
        share_W1 = (place_W - left_W).astype(np.float32)[:, None]
        right_W = np.minimum(left_W + 1, frames - 1)
        return (1 - share_W1) * power_FK[left_W] + share_W1 * power_FK[right_W]
    edges = np.arange(WIDTH + 1) * frames // WIDTH
    return np.stack([power_FK[first:last].mean(axis=0) for first, last in pairwise(edges.tolist())])


def _coloured(share_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    steps = np.linspace(0, 1, len(_MAGMA))
    channels = [np.interp(share_HW, steps, _MAGMA[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=2).round().astype(np.uint8)
