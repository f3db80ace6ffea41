"""Scripts of the world: which ones a language is written in, and how much of a text is in them."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import regex
from langcodes import Language
from langcodes.data_dicts import LIKELY_SUBTAGS
from langcodes.tag_parser import LanguageTagError

_LETTER = r"(?V1)[\p{L}--\p{Script=Common}]"
_SYLLABIC = (
    r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Ethiopic}\p{Script=Yi}"
    r"\p{Script=Cherokee}\p{Script=Vai}\p{Script=Canadian_Aboriginal}]"
)
_UNSPACED = (
    r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}"
    r"\p{Script=Myanmar}\p{Script=Tibetan}]"
)
_HAN = r"\p{Script=Han}"
_PARTS = {  # codes of ISO 15924 for scripts that mix or style others
    "Hans": ("Hani", "Bopo"), "Hant": ("Hani", "Bopo"), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani"),
}  # fmt: skip
# CLDR names the likeliest script only, and not of every language of Common Voice: these are in daily use too.
_ALSO = {
    "az": ("Cyrl", "Arab"), "bm": ("Nkoo",), "bs": ("Cyrl",), "cnh": ("Latn",), "dyu": ("Nkoo",), "ff": ("Adlm",),
    "ha": ("Arab",), "hyw": ("Armn",), "kk": ("Latn", "Arab"), "kmr": ("Latn", "Arab", "Cyrl"), "ks": ("Deva",),
    "ku": ("Arab", "Cyrl"), "ky": ("Arab", "Latn"), "mhr": ("Cyrl",), "mn": ("Mong",), "ms": ("Arab",),
    "nan": ("Latn",), "nia": ("Latn",), "pa": ("Arab",), "quy": ("Latn",), "ro": ("Cyrl",),
    "sat": ("Beng", "Deva", "Orya"), "sd": ("Deva",), "sr": ("Latn",), "tg": ("Arab", "Latn"), "tk": ("Cyrl", "Arab"),
    "tok": ("Latn",), "tt": ("Latn",), "tw": ("Latn",), "ug": ("Cyrl", "Latn"), "uz": ("Cyrl", "Arab"),
    "zgh": ("Latn", "Arab"), "zza": ("Arab",),
}  # fmt: skip


@lru_cache(maxsize=1024)
def scripts_of(language: str) -> tuple[str, ...]:
    """ISO 15924 codes of the scripts that a language (a BCP 47 or ISO 639 tag) is written in; none for an unknown one.

    A tag that names its script ("sr-Latn") has that one.
    """
    try:
        tag = Language.get(language)
    except LanguageTagError:
        return ()
    if tag.script is not None:
        return _PARTS.get(tag.script, (tag.script,))
    name = tag.language or ""
    also = _ALSO.get(name, ())
    if name not in LIKELY_SUBTAGS:  # `maximize` would take it for English
        return also
    likely = tag.maximize().script or ""
    return (*_PARTS.get(likely, (likely,)), *also)


@lru_cache(maxsize=1024)
def primary_language(language: str) -> str:
    """The language of a BCP 47 or ISO 639 tag without region and script: `en` of `en-GB` and `eng`, `zh` of `cmn-Hans`.

    What is no such tag stays as it is, case aside.
    """
    try:
        return Language.get(language).prefer_macrolanguage().language or language.casefold()
    except LanguageTagError:
        return language.casefold()


def script_share(text: str, language: str) -> float | None:
    """Share of the letters of `text` in a script of `language`. None where there is no letter or no such script.

    Characters of all scripts (digits, punctuation) do not count.
    """
    scripts = scripts_of(language)
    if not scripts:
        return None
    letters = {char: count for char, count in Counter(text).items() if _matches(_LETTER, char)}
    if not letters:
        return None
    expected = _pattern(scripts)
    return sum(count for char, count in letters.items() if _matches(expected, char)) / sum(letters.values())


def has_syllabic(text: str) -> bool:
    """Whether a sign in it stands for a syllable or a word, so that letters a second cannot be counted."""
    return not text.isascii() and any(_matches(_SYLLABIC, char) for char in set(text))


def has_unspaced(text: str) -> bool:
    """Whether it is in a script (or in part) without spaces between words."""
    return not text.isascii() and any(_matches(_UNSPACED, char) for char in set(text))


def is_han(text: str) -> bool:
    """Whether all of it is Chinese characters."""
    return all(_matches(_HAN, char) for char in set(text))


@lru_cache(maxsize=1024)
def _pattern(scripts: tuple[str, ...]) -> str:
    return "[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]"


@lru_cache(maxsize=1 << 16)
def _matches(pattern: str, char: str) -> bool:
    return regex.match(pattern, char) is not None
