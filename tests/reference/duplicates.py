"""Clips alike by fingerprint, by comparing every pair bit by bit: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence


def bit_error(one: Sequence[int], other: Sequence[int], bits: int, min_pieces: int) -> float:
    """Each argument is the words of one fingerprint; a word of 0 is a silent piece."""
    heard = [(a, b) for a, b in zip(one, other, strict=True) if a or b]
    if len(heard) < min_pieces:
        return 1.0
    return sum((a ^ b).bit_count() for a, b in heard) / (bits * len(heard))


def first_alike(
    prints: Sequence[Sequence[int]], seconds: Sequence[float], max_error: float, max_seconds: float
) -> list[int]:
    """The first clip that each is alike to, else itself."""
    first = []
    for j, (one, length) in enumerate(zip(prints, seconds, strict=True)):
        alike = [
            i
            for i in range(j)
            if abs(length - seconds[i]) <= max_seconds and bit_error(one, prints[i], 32, 8) <= max_error
        ]
        first.append(min(alike, default=j))
    return first
