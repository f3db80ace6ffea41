"""Connectionist temporal classification without a gradient: decoding, and what fits into how many frames.

Source: Graves et al. 2006, "Connectionist temporal classification", section 3 (the map B: drop repeats, then blanks).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from allears.text.characters import BLANK


def greedy_collapse(ids_F: Sequence[int], blank: int = BLANK) -> list[int]:
    """The labels of a best path [F]: repeats become one, then blanks go."""
    return [label for label, _ in groupby(ids_F) if label != blank]


def frames_needed(ids: Sequence[int]) -> int:
    """The fewest frames in which CTC can spell `ids`: one a label, and a blank between two that are equal."""
    return len(ids) + sum(one == other for one, other in pairwise(ids))
