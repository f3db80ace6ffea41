"""Times in other people's tables."""

from __future__ import annotations

import math
from typing import Any

from allears.corpus.layouts.columns import clean

TO_THE_END = -1.0  # as an end: that of the recording
_SHOWN = 40  # characters of a value that is no number


def seconds(value: Any) -> float | None:
    """Return the number in `value`, or None where it says that nothing is known (null, NaN, an empty field).

    Raises ValueError for anything else.
    """
    text = clean(value)
    if text is None:
        return None
    try:
        found = float(text)
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"'{text[:_SHOWN]}' is no number of seconds")
    return found


def from_duration(start: Any, duration: Any, *, open_end: bool) -> tuple[float, float] | str:
    """Return start and end of a span given by its start (unknown: 0) and duration, or why it is none.

    `open_end`: an unknown duration, or −1, leads to the end of the recording.
    """
    try:
        start_s, duration_s = seconds(start) or 0.0, seconds(duration)
    except ValueError as error:
        return str(error)
    if duration_s is None or duration_s == TO_THE_END:
        return _checked(start_s, TO_THE_END) if open_end else "its duration is not given"
    return _checked(start_s, start_s + duration_s) if duration_s > 0 else f"it lasts {duration_s:g} s"


def from_ends(start: Any, end: Any) -> tuple[float, float] | str:
    """Return start and end of a span given by both (an end of −1: that of the recording), or why it is none."""
    try:
        start_s, end_s = seconds(start), seconds(end)
    except ValueError as error:
        return str(error)
    if start_s is None or end_s is None:
        return f"its {'start' if start_s is None else 'end'} is not given"
    return _checked(start_s, end_s)


def problem(start_s: float | None, end_s: float | None) -> str | None:
    """Return why this is no time span, or None."""
    found = _checked(start_s or 0.0, TO_THE_END if end_s is None else end_s)
    return found if isinstance(found, str) else None


def _checked(start_s: float, end_s: float) -> tuple[float, float] | str:
    if not math.isfinite(start_s) or not math.isfinite(end_s):
        return "its start or its end is no number"
    if start_s >= 0 and (end_s > start_s or end_s == TO_THE_END):
        return start_s, end_s
    end = "the end of the recording" if end_s == TO_THE_END else f"{end_s:g} s"
    return f"from {start_s:g} s to {end} is no time span"
