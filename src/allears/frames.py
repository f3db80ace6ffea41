"""Seconds, samples and frames are converted here, and nowhere else."""

from __future__ import annotations

import itertools
import math


def to_samples(seconds: float, rate_hz: int) -> int:
    """The sample that is nearest to `seconds`; halves go up, so that neighbouring pieces share their border."""
    return math.floor(seconds * rate_hz + 0.5)


def to_seconds(samples: int, rate_hz: int) -> float:
    """How long `samples` last."""
    return samples / rate_hz


def to_hours(seconds: float) -> float:
    """Hours of `seconds`."""
    return seconds / 3600.0


def resampled_length(samples: int, rate_hz: int, new_rate_hz: int) -> int:
    """How many samples `samples` at `rate_hz` become at `new_rate_hz` (what soxr returns: rounded, halves up)."""
    return (samples * new_rate_hz * 2 + rate_hz) // (2 * rate_hz)


def window_count(samples: int, window: int, hop: int) -> int:
    """How many whole windows of `window` samples, `hop` apart, fit into `samples`."""
    return 0 if samples < window else 1 + (samples - window) // hop


def equal_pieces(start_s: float, end_s: float, max_s: float) -> list[tuple[float, float]]:
    """The fewest equal pieces of [start_s, end_s) that last at most `max_s` each; they touch and cover it."""
    count = max(1, math.ceil((end_s - start_s) / max_s - 1e-9))
    edges = [start_s + (end_s - start_s) * i / count for i in range(count)] + [end_s]
    return list(itertools.pairwise(edges))


def encoder_frames(samples: int, stack: int, rate_hz: int = 16_000) -> int:
    """Encoder frames of `samples`: 25 ms windows every 10 ms, `stack` in a frame; a last frame needs two of them."""
    return (window_count(samples, rate_hz * 25 // 1000, rate_hz // 100) + stack - 2) // stack


def frame_samples(stack: int, rate_hz: int = 16_000) -> int:
    """Samples from one encoder frame to the next."""
    return stack * (rate_hz // 100)
