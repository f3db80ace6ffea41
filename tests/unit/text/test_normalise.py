import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.text.normalise import normalise


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("WE CALL IT BEAR", "we call it bear"),
        ("  It\u2019s  'fine', well-known!\n", "it's fine well known"),
        ("Straße №5 — ﬁn", "strasse no5 fin"),
        ("हिन्दी में", "हिन्दी में"),
        ("e\u0301te\u0301", "été"),
        ("...", ""),
        ("", ""),
    ],
)
def test_plain_form(raw: str, plain: str):
    assert normalise(raw) == plain


@given(st.text())
def test_a_plain_text_stays_as_it_is(text: str):
    assert normalise(normalise(text)) == normalise(text)
