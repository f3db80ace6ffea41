"""Clips alike by fingerprint, by comparing every pair bit by bit: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence


def bit_error(one: Sequence[int], other: Sequence[int], bits: int, min_pieces: int) -> float:
    """Each argument is the words of one fingerprint; a word of 0 is a silent piece."""
    heard = [(a, b) for a, b in zip(one, other, strict=True) if a or b]
    if len(heard) < min_pieces:
        return 1.0
    return sum((a ^ b).bit_count() for a, b in heard) / (bits * len(heard))


def nearest_alike(
    prints: Sequence[Sequence[int]], seconds: Sequence[float], max_error: float, max_seconds: float, most: int
) -> list[tuple[int, int, float]]:
    """(later, earlier, bit error) of the `most` nearest earlier clips of each, of equal ones the first."""
    found = []
    for j, (one, length) in enumerate(zip(prints, seconds, strict=True)):
        near = [(bit_error(one, prints[i], 32, 8), i) for i in range(j) if abs(length - seconds[i]) <= max_seconds]
        found += [(j, i, error) for error, i in sorted(near)[:most] if error <= max_error]
    return found
