"""What a transcript says of itself: does it repeat, is it made of words, how much of it is there to be said.

Each takes a text as `normalise` leaves it, and gives None where the question has no meaning for its script.
"""

from __future__ import annotations

import unicodedata

from allears.text.scripts import has_syllabic, has_unspaced, is_han

WINDOW_WORDS = 50
LEAST_WORDS = 10


def characters(text: str) -> int:
    """Letters, marks and digits; no spaces."""
    return len(text) - text.count(" ")


def spelled_letters(text: str) -> int | None:
    """As `characters`, with Hangul syllables as the letters they are written with. None where signs are syllables."""
    if not text or has_syllabic(text):
        return None
    return characters(unicodedata.normalize("NFD", text) if _has_hangul(text) else text)


def unique_word_share(text: str) -> float | None:
    """Different words over words, the lowest of any WINDOW_WORDS in a row (every half of it looked at).

    In a window, because the share falls with the length of any text (Covington & McFall 2010, "Cutting the Gordian
    knot: the moving-average type-token ratio"), and a recogniser's loop may be a part of it. None under LEAST_WORDS
    words and for scripts without spaces; Chinese characters count as words.
    """
    words = _words(text)
    if words is None or len(words) < LEAST_WORDS:
        return None
    starts = range(0, max(len(words) - WINDOW_WORDS, 0) + 1, WINDOW_WORDS // 2)
    windows = [words[start : start + WINDOW_WORDS] for start in starts] + [words[-WINDOW_WORDS:]]
    return min(len(set(window)) / len(window) for window in windows)


def longest_word(text: str) -> int | None:
    """Characters of the longest word. None for no word and for scripts without spaces."""
    if not text or has_unspaced(text):
        return None
    return max(len(word) for word in text.split())


def _words(text: str) -> list[str] | None:
    """Words, or single characters where all of it is Chinese; None for other scripts without spaces."""
    if not has_unspaced(text):
        return text.split()
    joined = text.replace(" ", "")
    return list(joined) if is_han(joined) else None


def _has_hangul(text: str) -> bool:
    return not text.isascii() and any("\uac00" <= char <= "\ud7a3" for char in set(text))
