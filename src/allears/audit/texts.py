"""What the transcripts of a manifest say: one row of numbers a clip, NaN where there is no answer. Without their audio:

chars_per_s: letters, marks and digits of the normalised text over the declared duration; what is usual depends on the
language, so a policy compares it with the quartiles of the language. letters_per_s: the same for scripts that spell
sounds, to which absolute limits apply. script_share: letters in a script of the clip's language. same_text_share: clips
of the corpus with this very text, over clips with a text. The others as in `allears.text.checks`.

Against their audio, where `audit.text_model` names a model (`allears.downstream.text_judge`): text_error, the
character error rate of what it writes; text_ctc, by how many nats a character the text fits the clip worse than it fits
the clip's mean frame. text_judged says how that was: `yes`, `known_speaker` (yes, but the model has learned other clips
of this speaker), or why not: no_text, too_long, trained_on, unknown_characters, too_dense (more text than the model has
frames), or as in failed_reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from allears.audit.measures import names_of
from allears.text.checks import characters, longest_word, spelled_letters, unique_word_share
from allears.text.normalise import normalise
from allears.text.scripts import script_share

NUMBERS = names_of("text")
COLUMNS = ("clip", *NUMBERS)
MANIFEST_COLUMNS = ("clip", "text", "language", "start_s", "end_s")
FIT_NUMBERS = names_of("text model")
FIT_COLUMNS = ("clip", *FIT_NUMBERS, "text_judged")
MANY, STANDS_OUT, LIKE_ANY, LENGTHS_SAY = 10, 10, 0.75, 0.2  # as in `doubtful_texts`
FIT_TYPES = {"clip": "string", **dict.fromkeys(FIT_NUMBERS, "float64"), "text_judged": "string"}


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


def without_model(clips: pd.Series[str]) -> pd.DataFrame:
    """FIT_COLUMNS where no model judges: nothing known of any clip."""
    return pd.DataFrame({"clip": clips}).reindex(columns=list(FIT_COLUMNS)).astype(FIT_TYPES)


def doubtful_texts(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Texts that many clips have and hardly anybody said: "[music]", "thanks for watching", what a recogniser makes up.

    Such a text stands out: at least MANY clips have it, and STANDS_OUT times as many as the text of the usual (median)
    clip, so that prompts which many read are none. And its clips are nearly as unlike in length as those of any text
    (standard deviation of log seconds over that of all clips at least LIKE_ANY), while the same words take about the
    same time. Real: of the texts of a corpus of prompts at most 0.5, of clips drawn at random 0.9 to 1.2. Where all
    clips are about as long (LENGTHS_SAY) nothing can be said.

    The most frequent first: text (in lower case), clips, share of the clips with a text, groups (speakers), and the
    seconds of its shortest and longest tenth.
    """
    seconds = manifest["end_s"] - manifest["start_s"]
    text = manifest["text"].str.strip().str.lower()
    table = pd.DataFrame({"text": text, "group": manifest["group"], "seconds": seconds}).dropna()
    table["log_s"] = np.log(table["seconds"])
    any_text = table["log_s"].std()
    clips = table["text"].value_counts()
    if clips.empty or any_text < LENGTHS_SAY:
        return []
    many = clips.index[clips >= max(MANY, STANDS_OUT * table["text"].map(clips).median())]
    of_text = table[table["text"].isin(many)].groupby("text", sort=False)
    found = pd.DataFrame(
        {
            "clips": of_text.size(),
            "share": of_text.size() / len(table),
            "groups": of_text["group"].nunique(),
            "short_s": of_text["seconds"].quantile(0.1),
            "long_s": of_text["seconds"].quantile(0.9),
        }
    )[of_text["log_s"].std() >= LIKE_ANY * any_text]
    rows = found.reset_index().sort_values(["clips", "text"], ascending=[False, True]).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


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
