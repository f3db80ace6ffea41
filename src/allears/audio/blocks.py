"""A long recording in blocks, so that what is made of it on the way needs little memory beside the samples themselves.

A clip of up to BLOCK_SAMPLES is one block; in longer ones the last bit of a sum may be another than without blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 20  # 4 MB; 66 s at 16 kHz, 22 s at 48 kHz


def in_blocks(audio_T: NDArray[np.float32], multiple: int = 1) -> Iterator[NDArray[np.float32]]:
    """Views [T] of some BLOCK_SAMPLES each, of a `multiple` of samples but for the last; none of no samples."""
    size = max(BLOCK_SAMPLES // multiple, 1) * multiple
    return (audio_T[first : first + size] for first in range(0, len(audio_T), size))
