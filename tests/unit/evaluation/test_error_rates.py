from hypothesis import given
from hypothesis import strategies as st

from allears.evaluation.error_rates import character_errors
from tests.reference.edits import slow_edits

text = st.text(alphabet="ab c", max_size=8)


@given(text, text)
def test_character_errors_agree_with_a_slow_edit_distance(reference: str, prediction: str):
    assert character_errors(reference, prediction) == (slow_edits(reference, prediction), len(reference))
