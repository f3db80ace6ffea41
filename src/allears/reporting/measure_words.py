"""How a measure is called and written: on an axis, in a table of quantiles, and where its value stands alone."""

from __future__ import annotations

from allears.audit.measures import SHARE, measure_of
from allears.reporting.html import written


def name(measure: str) -> str:
    """Return the measure's name in words; of any other column its own name."""
    return measure_of(measure).words or measure


def title(measure: str) -> str:
    """Return name and unit of bare numbers: `bandwidth, Hz`, `silent frames, share`."""
    unit = measure_of(measure).unit
    return f"{name(measure)}, {unit}{ceiling_mark(measure)}" if unit else name(measure)


def heading(measure: str) -> str:
    """Return the heading of a narrow column: `SNR, dB`, `clipped`."""
    short, unit = measure_of(measure).short, measure_of(measure).unit
    return f"{short}, {unit}" if unit not in ("", SHARE) else short


def ceiling_mark(measure: str) -> str:
    """Return ` (34: at its ceiling)`, or an empty string where the measure has no ceiling."""
    ceiling = measure_of(measure).ceiling
    return "" if ceiling is None else f" ({ceiling:g}: at its ceiling)"


def is_share(measure: str) -> bool:
    """Return True for a share, written in per cent."""
    return measure_of(measure).unit == SHARE


def quantity(measure: str, value: float) -> str:
    """Return the value with its unit, or that the estimate is at its ceiling."""
    if is_share(measure):
        return written(value, "percent")
    unit, ceiling = measure_of(measure).unit, measure_of(measure).ceiling
    if ceiling is not None and value >= ceiling:
        return f"at its ceiling (≥ {ceiling:g} {unit})"
    return f"{written(value, 'measure')} {unit}".rstrip()
