"""Character error rates against jiwer, the field's usual tool."""

import jiwer
import pytest

from allears.evaluation.error_rates import character_errors

PAIRS = [
    ("we call it bear", "we call a pear"),
    ("zero three five one", "zero tree five"),
    ("she has your dark suit in greasy wash water", "she had your dark suite greasy wash wash water"),
]


def test_the_rate_over_a_corpus_equals_that_of_jiwer():
    references, predictions = zip(*PAIRS, strict=True)
    counts = [character_errors(reference, prediction) for reference, prediction in PAIRS]
    ours = sum(edits for edits, _ in counts) / sum(total for _, total in counts)
    assert ours == pytest.approx(jiwer.cer(list(references), list(predictions)))
