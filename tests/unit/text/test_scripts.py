from __future__ import annotations

import unicodedata

import pytest

from allears.text.scripts import has_syllabic, has_unspaced, is_han, script_share, scripts_of

# The languages of Common Voice 20 that have validated clips.
COMMON_VOICE = (
    "ab af am ar as ast az ba bas be bg bn br ca ckb cnh cs cv cy da de dv dyu el en eo es et eu fa fi fr fy-NL ga-IE "
    "gl gn ha he hi hsb ht hu hy-AM ia id ig is it ja ka kab kk kmr ko ky lg lij lo lt ltg lv mdf mhr mk ml mn mr mrj "
    "mt myv nan-tw ne-NP nhi nl nn-NO nso oc or os pa-IN pl ps pt quy rm-sursilv rm-vallader ro ru rw sah sat sc sk "
    "skr sl sq sr sv-SE sw ta te th ti tig tk tok tr tt tw ug uk ur uz vi vot yi yo yue zgh zh-CN zh-HK zh-TW zu zza"
)


@pytest.mark.parametrize(
    ("language", "text", "share"),
    [
        ("en", "hello world", 1.0), ("en", "привет", 0.0), ("en", "привет all", 1 / 3), ("zh", "hello", 0.0),
        ("zh-TW", "你好 2024", 1.0), ("ja", "東京タワーへ", 1.0), ("ko", "한국어", 1.0), ("sr", "добар dan", 1.0),
        ("sr-Latn", "добар", 0.0), ("hi", "हिन्दी", 1.0), ("ru", "привет!", 1.0), ("deu", "Straße", 1.0),
        ("en", "123 …", None), ("en", "", None), ("xx", "hello", None), ("english", "hello", None), ("", "a", None),
    ],
)  # fmt: skip
def test_share_of_letters_in_the_scripts_of_a_language(language: str, text: str, share: float | None) -> None:
    found = script_share(text, language)
    assert found == (None if share is None else pytest.approx(share))


def test_every_language_of_common_voice_has_scripts_that_exist() -> None:
    unknown = {language for language in COMMON_VOICE.split() if not scripts_of(language)}
    assert not unknown - {"nhi"}
    for language in COMMON_VOICE.split():
        script_share("a", language)  # a script that regex does not know is an error


def test_unknown_languages_are_not_taken_for_english() -> None:
    assert [scripts_of(language) for language in ("und", "xx", "qaa", "english", "not a tag")] == [()] * 5


def test_kinds_of_scripts() -> None:
    assert has_syllabic("日本")
    assert has_syllabic("ሰላም")
    assert not has_syllabic("привет हिन्दी 한국")
    assert has_unspaced("สวัสดี")
    assert not has_unspaced("ሰላም ዓለም")
    assert is_han("你好")
    assert not is_han("日本へ")


def test_names_of_characters_agree() -> None:
    """An oracle without the library: Unicode's names begin with the script."""
    for first, language, name in ((0x400, "ru", "CYRILLIC"), (0x3B1, "el", "GREEK"), (0x905, "hi", "DEVANAGARI")):
        for code in range(first, first + 20):
            char = chr(code)
            assert unicodedata.name(char).startswith(name)
            assert script_share(char, language) == 1.0
            assert script_share(char, "en") == 0.0
