"""Characters as tokens: the smallest vocabulary that works for any language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLANK = 0
UNKNOWN = 1
_FIRST = 2


@dataclass(frozen=True, slots=True)
class CharacterTokenizer:
    """Id 0 is CTC's blank, 1 any character outside of `alphabet`, then `alphabet` in order."""

    alphabet: tuple[str, ...]

    def __post_init__(self) -> None:
        if any(len(char) != 1 for char in self.alphabet) or len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError(f"an alphabet is single characters, each once; found {self.alphabet}")

    @classmethod
    def fit(cls, texts: Iterable[str]) -> CharacterTokenizer:
        """The characters of `texts`, sorted by code point."""
        return cls(tuple(sorted({char for text in texts for char in text})))

    @property
    def size(self) -> int:
        """How many ids there are, blank and unknown included."""
        return _FIRST + len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        """One id a character; never the blank."""
        ids = {char: index for index, char in enumerate(self.alphabet, start=_FIRST)}
        return [ids.get(char, UNKNOWN) for char in text]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; blanks vanish, unknown is U+FFFD. Inverse of `encode` for known characters."""
        chars = ("", "\ufffd", *self.alphabet)
        return "".join(chars[index] for index in ids)
