"""Measures of a transcript as loops over its words: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence


def unique_word_share(words: Sequence[str], window: int) -> float:
    """The fewest different words in `window` in a row, of windows half of that apart, and of the last one."""
    starts = [0]
    while starts[-1] + window < len(words):
        starts.append(min(starts[-1] + window // 2, len(words) - window))
    shares = []
    for start in starts:
        seen: list[str] = []
        for word in words[start : start + window]:
            if word not in seen:
                seen.append(word)
        shares.append(len(seen) / len(words[start : start + window]))
    return min(shares)
