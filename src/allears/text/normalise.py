"""One plain form of a transcript, for any script: what is trained on and what is scored."""

from __future__ import annotations

import unicodedata

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u00b4": "'", "`": "'"})


def normalise(text: str) -> str:
    """Case-folded, NFC, letters, marks, digits and inner apostrophes only, words one space apart.

    Everything else (punctuation, symbols) parts words, so 'well-known' are two. An apostrophe stays between two kept
    characters ("it's") and goes at the edge of a word ("'tis").
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_APOSTROPHES)
    words = (word.strip("'") for word in folded.translate(_KEPT).split())
    return " ".join(word for word in words if word)


class _Kept(dict[int, int]):
    """Code point → itself for letters (L), marks (M: Devanagari vowels are marks), digits (N) and the apostrophe, else
    a space. Filled as characters turn up: `str.translate` then looks each up in C.
    """

    def __missing__(self, code: int) -> int:
        kept = code == ord("'") or unicodedata.category(chr(code))[0] in "LMN"
        self[code] = code if kept else ord(" ")
        return self[code]


_KEPT = _Kept()
