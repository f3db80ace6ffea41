"""Times in other people's tables."""

from __future__ import annotations

import math
from typing import Any


def seconds(value: Any) -> float:
    """The number in `value`; NaN where there is none, which `problem` then names."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def end_of(start_s: float, duration_s: float) -> float:
    """Where it ends; NaN for a duration that is none."""
    return start_s + duration_s if duration_s > 0 else math.nan


def problem(start_s: float | None, end_s: float | None) -> str | None:
    """Why this is no time span, or None. An end of −1 goes to the end of the recording."""
    if start_s is None and end_s is None:
        return None
    start = 0.0 if start_s is None else start_s
    end = -1.0 if end_s is None else end_s
    good = math.isfinite(start) and math.isfinite(end) and start >= 0 and (end > start or end == -1)
    return None if good else f"from {start:g} s to {end:g} s is no time span"
