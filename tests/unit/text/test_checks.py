from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.text.checks import (
    LEAST_WORDS,
    WINDOW_WORDS,
    characters,
    longest_word,
    spelled_letters,
    unique_word_share,
)
from tests.reference import texts as oracle


@pytest.mark.parametrize(
    ("text", "count", "spelled"),
    [
        ("it's ten 10", 9, 9), ("", 0, None), ("한국", 2, 6), ("你好", 2, None), ("über", 4, 4), ("हिन्दी", 6, 6),
        ("ok 你", 3, None),
    ],
)  # fmt: skip
def test_characters_and_spelled_letters(text: str, count: int, spelled: int | None) -> None:
    assert characters(text) == count
    assert spelled_letters(text) == spelled


@given(st.lists(st.sampled_from([f"w{i}" for i in range(60)]), max_size=3 * WINDOW_WORDS))
def test_share_of_different_words_agrees_with_loops_over_words(words: list[str]) -> None:
    found = unique_word_share(" ".join(words))
    if len(words) < LEAST_WORDS:
        assert found is None
        return
    assert found == oracle.unique_word_share(words, WINDOW_WORDS)


def test_a_loop_in_a_long_text_is_seen_and_length_alone_is_not() -> None:
    text = [f"word{i}" for i in range(400)]
    assert unique_word_share(" ".join(text)) == 1.0
    assert unique_word_share(" ".join([*text[:200], *["thank", "you"] * 25, *text[200:]])) <= 27 / 50
    assert unique_word_share(" ".join(text[i % 60] for i in range(1_000))) == 1.0


def test_scripts_without_spaces() -> None:
    assert unique_word_share("谢谢" * 10) == 0.05
    assert unique_word_share("สวัสดีครับ" * 5) is None
    assert longest_word("สวัสดีครับ" * 5) is None
    assert longest_word("a donaudampfschiff is") == 16
    assert longest_word("") is None
