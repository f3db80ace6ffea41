import pytest

from allears.corpus.segment import Span, spans
from allears.errors import AudioError


def test_short_files_stay_whole_and_long_ones_become_equal_pieces() -> None:
    assert spans(12.0, None, None, max_s=30.0, min_s=0.1) == [Span(0.0, 12.0, whole=True)]
    pieces = spans(75.0, None, None, max_s=30.0, min_s=0.1)
    assert [(piece.start_s, piece.end_s, piece.whole) for piece in pieces] == [
        (0.0, 25.0, False), (25.0, 50.0, False), (50.0, 75.0, False),
    ]  # fmt: skip
    assert len(spans(36_000.0, None, None, max_s=30.0, min_s=0.1)) == 1200
    assert spans(75.0, None, None, max_s=None, min_s=0.1) == [Span(0.0, 75.0, whole=True)]


def test_described_spans_end_with_the_file() -> None:
    assert spans(10.0, 2.0, -1.0, max_s=30.0, min_s=0.1) == [Span(2.0, 10.0, whole=True)]
    assert spans(10.0, 2.0, 10.05, max_s=30.0, min_s=0.1) == [Span(2.0, 10.0, whole=True)]


@pytest.mark.parametrize(
    ("start", "end", "reason"), [(2.0, 10.2, "bad_segment"), (10.0, -1.0, "bad_segment"), (2.0, 2.05, "too_short")]
)
def test_spans_that_cannot_be(start: float, end: float, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        spans(10.0, start, end, max_s=30.0, min_s=0.1)
    assert caught.value.reason == reason
