import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.text.characters import BLANK, UNKNOWN, CharacterTokenizer


@given(st.lists(st.text(), min_size=1))
def test_decoding_inverts_encoding_on_texts_it_was_fitted_to(texts: list[str]):
    tokenizer = CharacterTokenizer.fit(texts)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


def test_ids_are_one_a_character_and_never_the_blank():
    tokenizer = CharacterTokenizer.fit(["ba", "ab"])
    assert tokenizer.alphabet == ("a", "b")
    assert tokenizer.size == 4
    assert tokenizer.encode("abz") == [2, 3, UNKNOWN]
    assert BLANK not in tokenizer.encode("abz")
    assert tokenizer.decode([2, BLANK, UNKNOWN, 3]) == "a\ufffdb"


@pytest.mark.parametrize("alphabet", [("a", "a"), ("ab",)])
def test_an_alphabet_is_single_distinct_characters(alphabet: tuple[str, ...]):
    with pytest.raises(ValueError, match="each once"):
        CharacterTokenizer(alphabet)
