"""One plain form of a transcript, for any script: what is trained on and what is scored."""

from __future__ import annotations

import re
import unicodedata

_SPACE = re.compile(r"\s+")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u00b4": "'", "`": "'"})


def normalise(text: str) -> str:
    """Case-folded, NFC, letters, marks, digits and inner apostrophes only, words one space apart.

    Everything else (punctuation, symbols) parts words, so 'well-known' are two. An apostrophe stays between two kept
    characters ("it's") and goes at the edge of a word ("'tis").
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_APOSTROPHES)
    kept = "".join(char if _is_kept(char) else " " for char in folded)
    words = (word.strip("'") for word in _SPACE.split(kept))
    return " ".join(word for word in words if word)


def _is_kept(char: str) -> bool:
    """Letters (L), marks (M: Devanagari vowels are marks), digits (N), and the apostrophe."""
    return char == "'" or unicodedata.category(char)[0] in "LMN"
