"""Levenshtein distance by its definition."""

from collections.abc import Sequence
from functools import cache


def slow_edits(a: Sequence[str], b: Sequence[str]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        substitution = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(substitution, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))
