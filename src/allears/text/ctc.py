"""Connectionist temporal classification without a gradient: decoding.

Source: Graves et al. 2006, "Connectionist temporal classification", section 3 (the map B: drop repeats, then blanks).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from allears.text.characters import BLANK


def greedy_collapse(ids_F: Sequence[int], blank: int = BLANK) -> list[int]:
    """The labels of a best path [F]: repeats become one, then blanks go."""
    return [label for label, _ in groupby(ids_F) if label != blank]
