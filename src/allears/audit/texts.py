"""What the transcripts of a manifest say without their audio: one row of numbers a clip, NaN where there is no answer.

chars_per_s: letters, marks and digits of the normalised text over the declared duration; what is usual depends on the
language, so a policy compares it with the quartiles of the language. letters_per_s: the same for scripts that spell
sounds, to which absolute limits apply. script_share: letters in a script of the clip's language. same_text_share: clips
of the corpus with this very text, over clips with a text. The others as in `allears.text.checks`.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from allears.text.checks import characters, longest_word, spelled_letters, unique_word_share
from allears.text.normalise import normalise
from allears.text.scripts import script_share

NUMBERS = (
    "chars_per_s", "letters_per_s", "script_share", "unique_word_share", "longest_word", "same_text_share",
)  # fmt: skip
COLUMNS = ("clip", *NUMBERS)
MANIFEST_COLUMNS = ("clip", "text", "language", "start_s", "end_s")


def text_measures(manifest: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of each clip, in the manifest's order; all NaN for a clip without a text."""
    plain = _each(manifest["text"], normalise)
    seconds = manifest["end_s"] - manifest["start_s"]
    table = pd.DataFrame(
        {
            "clip": manifest["clip"],
            "chars_per_s": _numbers(_each(plain, characters)) / seconds,
            "letters_per_s": _numbers(_each(plain, spelled_letters)) / seconds,
            "script_share": _script_share(manifest["text"], manifest["language"]),
            "unique_word_share": _numbers(_each(plain, unique_word_share)),
            "longest_word": _numbers(_each(plain, longest_word)),
            "same_text_share": plain.map(plain.value_counts(normalize=True)),
        }
    )
    return table.astype(dict.fromkeys(NUMBERS, "float64"))


def repeated_texts(manifest: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Texts that several groups (speakers) have: text, clips, groups and share of the clips with a text.

    A few are the design of a corpus of prompts; a sentence nobody was asked to say ("thanks for watching") is scraped.
    """
    table = pd.DataFrame({"text": _each(manifest["text"], normalise), "group": manifest["group"]}).dropna()
    found = table.groupby("text")["group"].agg(clips="size", groups="nunique").reset_index()
    found["share"] = found["clips"] / max(len(table), 1)
    several = found[found["groups"] > 1].sort_values(["clips", "text"], ascending=[False, True])
    return several.head(most).reset_index(drop=True)


def _each(texts: pd.Series[str], function: Callable[[str], object]) -> pd.Series[str]:
    """`function` of each text that there is, called once for equal ones."""
    answers = {text: function(text) for text in texts.dropna().unique()}
    return texts.map(answers).astype(object)


def _numbers(values: pd.Series[str]) -> pd.Series[float]:
    return pd.to_numeric(values).astype("float64")


def _script_share(texts: pd.Series[str], languages: pd.Series[str]) -> pd.Series[float]:
    known = texts.notna() & languages.notna()
    pairs = list(zip(texts[known], languages[known], strict=True))
    answers = {pair: script_share(*pair) for pair in set(pairs)}
    return pd.Series([answers[pair] for pair in pairs], index=texts.index[known], dtype="float64").reindex(texts.index)
