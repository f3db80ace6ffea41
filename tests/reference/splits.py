"""Comparison of two sets of clips, clip by clip: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence


def variation_distance(here: Sequence[tuple[str, float]], there: Sequence[tuple[str, float]]) -> float:
    """Largest difference of the shares of hours that any set of values has on the two sides."""
    values = sorted({value for value, _ in [*here, *there]})
    totals = [sum(hours for _, hours in side) for side in (here, there)]
    largest = 0.0
    for chosen in range(1 << len(values)):
        some = {value for place, value in enumerate(values) if chosen >> place & 1}
        one, other = (
            sum(hours for value, hours in side if value in some) / total
            for side, total in zip((here, there), totals, strict=True)
        )
        largest = max(largest, abs(one - other))
    return largest


def shared_text(texts: Sequence[str], train: Sequence[str]) -> float:
    """Share of the texts, compared as lists of lower-case words, that are in train."""
    known = [text.lower().split() for text in train]
    return sum(text.lower().split() in known for text in texts) / len(texts)
