"""Errors and totals of one clip, for each kind of task; rates are sum(errors) / sum(totals)."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein


def class_errors(reference: str, prediction: str) -> tuple[int, int]:
    """(0 or 1, 1): errors add up to the error rate, 1 − accuracy."""
    return int(reference != prediction), 1


def character_errors(reference: str, prediction: str) -> tuple[int, int]:
    """Edits (Levenshtein) between two texts and the reference's length, in characters; spaces count.

    An empty reference has length 0 and counts every predicted character as an insertion.
    """
    return Levenshtein.distance(reference, prediction), len(reference)
