"""From a described file to clips: pointers into it (file, channel, start, end). Nothing is cut on disk."""

from __future__ import annotations

from dataclasses import dataclass

from allears.audio.frames import equal_pieces
from allears.errors import AudioError

_TOLERANCE_S = 0.1  # a segment may end this much after what the header declares: tables are rounded


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_s` to `end_s` of a file; `whole`: it is all of what its corpus described."""

    start_s: float
    end_s: float
    whole: bool


def spans(
    duration_s: float, start_s: float | None, end_s: float | None, *, max_s: float | None, min_s: float
) -> list[Span]:
    """The pieces of one described clip: one, or the fewest equal ones of at most `max_s` (None: never cut).

    `start_s` and `end_s` are what the corpus says (None: the whole file; an end of −1: to its end).
    Raises AudioError `too_short` under `min_s`, `bad_segment` for a span that lies outside the file.
    """
    start = start_s or 0.0
    end = duration_s if end_s is None or end_s == -1 else end_s
    if end > duration_s + _TOLERANCE_S or start >= duration_s > 0:
        raise AudioError(
            "bad_segment", f"from {start:g} s to {end:g} s, but the file declares {duration_s:.2f} s: check its times"
        )
    end = min(end, duration_s)
    if end - start < min_s:
        raise AudioError("too_short", f"it lasts {end - start:.4f} s, under ingest.min_duration_s={min_s:g}")
    if max_s is None or end - start <= max_s:
        return [Span(start, end, whole=True)]
    return [Span(a, b, whole=False) for a, b in equal_pieces(start, end, max_s)]
