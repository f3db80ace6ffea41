import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.segment import SHORTEST_PIECE_S, Span, pauses, pieces, span, speech_pieces
from allears.errors import AudioError


def test_short_files_stay_whole_and_long_ones_become_equal_pieces() -> None:
    whole = span(12.0, None, None, min_s=0.1)
    assert pieces(whole, max_s=30.0) == [whole] == [Span(0.0, 12.0, whole=True)]
    long = span(75.0, None, None, min_s=0.1)
    assert [(piece.start_s, piece.end_s, piece.whole) for piece in pieces(long, max_s=30.0)] == [
        (0.0, 25.0, False), (25.0, 50.0, False), (50.0, 75.0, False),
    ]  # fmt: skip
    assert len(pieces(Span(0.0, 36_000.0, whole=True), max_s=30.0)) == 1200


def test_described_spans_end_with_the_file() -> None:
    assert span(10.0, 2.0, -1.0, min_s=0.1) == Span(2.0, 10.0, whole=True)
    assert span(10.0, 2.0, 10.05, min_s=0.1) == Span(2.0, 10.0, whole=True)


@pytest.mark.parametrize(
    ("start", "end", "reason"), [(2.0, 10.2, "bad_segment"), (10.0, -1.0, "bad_segment"), (2.0, 2.05, "too_short")]
)
def test_spans_that_cannot_be(start: float, end: float, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        span(10.0, start, end, min_s=0.1)
    assert caught.value.reason == reason


def test_speech_is_joined_over_short_pauses_and_long_ones_are_left_out() -> None:
    speech = [(1.0, 4.0), (4.5, 9.0), (15.0, 16.0), (20.0, 62.0)]
    cut = pieces(Span(0.0, 80.0, whole=True), max_s=30.0, speech=speech)
    assert [(piece.start_s, piece.end_s) for piece in cut] == [(1.0, 9.0), (14.5, 16.5), (20.0, 41.0), (41.0, 62.0)]
    assert pauses(cut, Span(0.0, 80.0, whole=True)) == pytest.approx(1 + 5.5 + 3.5 + 18)
    assert pieces(Span(0.0, 80.0, whole=True), max_s=30.0, speech=[]) == []


@given(st.lists(st.floats(0.05, 40.0), min_size=2, max_size=40), st.floats(4.0, 30.0))
def test_pieces_hold_all_speech_and_with_the_gaps_all_seconds(lengths: list[float], max_s: float) -> None:
    """Speech and pauses in turn."""
    edges = [0.0]
    for length in lengths:
        edges.append(edges[-1] + length)
    speech = list(zip(edges[1::2], edges[2::2], strict=False))
    if not speech:
        return
    whole = Span(0.0, edges[-1] + 1.0, whole=True)
    cut = [Span(a, b, whole=False) for a, b in speech_pieces(speech, 0.0, whole.end_s, max_s)]
    total = sum(piece.end_s - piece.start_s for piece in cut)
    assert total + pauses(cut, whole) == pytest.approx(whole.end_s)
    assert all(piece.end_s - piece.start_s <= max_s + 1e-6 for piece in cut)
    for a, b in speech:
        held = sum(max(0.0, min(b, piece.end_s) - max(a, piece.start_s)) for piece in cut)
        assert held == pytest.approx(b - a)
    for piece in cut:
        room = piece.end_s - piece.start_s >= SHORTEST_PIECE_S - 1e-6
        touches = any(
            abs(piece.start_s - other.end_s) < 1e-6 or abs(piece.end_s - other.start_s) < 1e-6 for other in cut
        )
        assert room or touches or piece.start_s == 0.0 or piece.end_s == whole.end_s
