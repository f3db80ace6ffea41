"""From a described file to clips: pointers into it (file, channel, start, end). Nothing is cut on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allears.corpus.layouts.spans import TO_THE_END
from allears.errors import AudioError
from allears.frames import equal_pieces

TABLE_SLACK_S = 0.1  # times in tables are rounded, and codecs pad: as much as `audit.truncated` allows
_DECIMALS = 3  # of seconds; more make no difference beside TABLE_SLACK_S
LONGEST_PAUSE_S = 1.0  # a longer one is no part of a piece
OF_WHOLE = "_of_whole"  # ends an attribute's name: known of a recording, and of none of its pieces or channels
SHORTEST_PIECE_S = 2.0  # what is shorter takes in some of the pause around it

Stretch = tuple[float, float]  # start_s, end_s


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_s` to `end_s` of a file; `whole`: it is all of what its corpus described."""

    start_s: float
    end_s: float
    whole: bool


def duration_slack_s(durations: Iterable[float]) -> float:
    """Return by how much a recording may be longer than its duration in a table of these `durations`.

    It is TABLE_SLACK_S and one unit of the last decimal that any of them has: some tables give whole seconds.
    """
    decimals = 0
    for duration_s in durations:
        decimals = max(decimals, len(f"{duration_s:.{_DECIMALS}f}".rstrip("0").partition(".")[2]))
        if decimals == _DECIMALS:
            break
    return float(TABLE_SLACK_S + 10.0**-decimals)


def settled(
    duration_s: float, start_s: float | None, end_s: float | None, slack_s: float
) -> tuple[float | None, float | None]:
    """Return start and end of a row, now that the duration of its file is known.

    An end without a start is a duration in a table. Where the file is longer by more than `slack_s`, it is a segment
    at its beginning; else the row is about the whole file (None, None).
    """
    if start_s is not None or end_s is None or end_s == TO_THE_END:
        return start_s, end_s
    return (0.0, end_s) if end_s < duration_s - slack_s else (None, None)


def past_end_s(duration_s: float, end_s: float | None) -> float:
    """Return how much of what ends at `end_s` lies past the end of its file."""
    return 0.0 if end_s is None else max(end_s - duration_s, 0.0)


def span(duration_s: float, start_s: float | None, end_s: float | None, *, min_s: float) -> Span:
    """What the corpus describes of a file, checked (None: the whole file; an end of −1: to its end).

    Raises AudioError `too_short` under `min_s`, `bad_segment` for a span that lies outside the file.
    """
    start = start_s or 0.0
    end = duration_s if end_s is None or end_s == TO_THE_END else end_s
    past = past_end_s(duration_s, end)
    if past > TABLE_SLACK_S or start >= duration_s > 0:
        to = "its end" if end_s is None or end_s == TO_THE_END else f"{end:g} s"
        much = "all" if start >= duration_s else f"{past:.2f} s"
        raise AudioError(
            "bad_segment",
            f"from {start:g} s to {to}, but the file ends at {duration_s:.2f} s: {much} of the segment lies past it; "
            "check the times of the table, and that the file is complete",
        )
    end = min(end, duration_s)
    if end - start < min_s:
        raise AudioError("too_short", f"it lasts {end - start:.4f} s, under ingest.min_duration_s={min_s:g}")
    return Span(start, end, whole=True)


def pieces(whole: Span, *, max_s: float, speech: Sequence[Stretch] | None = None) -> list[Span]:
    """`whole` if it lasts at most `max_s`; else the fewest equal pieces of it, or those in which there is `speech`
    (none, where there is none).
    """
    if whole.end_s - whole.start_s <= max_s:
        return [whole]
    if speech is None:
        cut = equal_pieces(whole.start_s, whole.end_s, max_s)
    else:
        inside = [(max(a, whole.start_s), min(b, whole.end_s)) for a, b in speech]
        cut = speech_pieces([(a, b) for a, b in inside if a < b], whole.start_s, whole.end_s, max_s)
    return [Span(start, end, whole=False) for start, end in cut]


def speech_pieces(speech: Sequence[Stretch], start_s: float, end_s: float, max_s: float) -> list[Stretch]:
    """Pieces of at most `max_s` that hold all `speech` (ordered stretches within [start_s, end_s)), in order, disjoint.

    Neighbours are joined over pauses of at most LONGEST_PAUSE_S while they fit; a stretch that does not fit alone is
    cut into equal parts; a piece under SHORTEST_PIECE_S grows into the pauses on both sides as far as there is room.
    """
    joined: list[Stretch] = []
    for begin, end in speech:
        if joined and begin - joined[-1][1] <= LONGEST_PAUSE_S and end - joined[-1][0] <= max_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined += equal_pieces(begin, end, max_s)
    grown: list[Stretch] = []
    for number, (begin, end) in enumerate(joined):
        before = grown[-1][1] if grown else start_s
        after = joined[number + 1][0] if number + 1 < len(joined) else end_s
        grown.append(_grown(begin, end, before, after))
    return grown


def _grown(begin: float, end: float, before: float, after: float) -> Stretch:
    """At least SHORTEST_PIECE_S around [begin, end), on both sides alike where [before, after) has room."""
    missing = max(SHORTEST_PIECE_S - (end - begin), 0.0)
    first = max(before, min(begin - missing / 2, after - SHORTEST_PIECE_S))
    return min(first, begin), max(end, min(after, first + SHORTEST_PIECE_S if missing else end))


def pauses(cut: Sequence[Span], whole: Span) -> float:
    """Seconds of `whole` that are in none of its pieces. Raises AssertionError when they overlap or leave it."""
    at, left = whole.start_s, 0.0
    for piece in cut:
        assert at <= piece.start_s < piece.end_s <= whole.end_s, (piece, whole)  # noqa: S101  the promise of this module
        left += piece.start_s - at
        at = piece.end_s
    return left + whole.end_s - at
