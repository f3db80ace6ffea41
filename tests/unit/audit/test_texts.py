from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allears.audit.texts import COLUMNS, doubtful_texts, text_measures
from tests.audit_tables import manifest


def test_each_clip_has_a_row_and_no_text_has_no_numbers() -> None:
    table = manifest([{"text": "Hello, world!"}, {"text": None}, {"text": "…"}, {"text": "привет", "language": None}])
    found = text_measures(table)
    assert tuple(found.columns) == COLUMNS
    assert found["clip"].tolist() == table["clip"].tolist()
    assert found["chars_per_s"].tolist() == pytest.approx([5.0, np.nan, 0.0, 3.0], nan_ok=True)
    assert found.loc[1].drop("clip").isna().all()
    assert found["script_share"].tolist() == pytest.approx([1.0, np.nan, np.nan, np.nan], nan_ok=True)
    assert found["longest_word"].tolist() == pytest.approx([5.0, np.nan, np.nan, 6.0], nan_ok=True)


def test_limits_of_letters_do_not_apply_to_signs_for_words() -> None:
    table = manifest([{"text": "你好吗朋友", "language": "zh"}, {"text": "한국", "language": "ko"}])
    found = text_measures(table)
    assert found["chars_per_s"].tolist() == [2.5, 1.0]
    assert found["letters_per_s"].tolist() == pytest.approx([np.nan, 3.0], nan_ok=True)


def test_equal_texts_are_counted_however_written() -> None:
    rows = [{"text": "Thanks for watching!"}, {"text": "thanks, for watching"}, {"text": "else"}, {"text": None}]
    table = manifest([*rows, {"text": "ours", "speaker": "p"}, {"text": "ours", "speaker": "p"}])
    assert text_measures(table)["same_text_share"].tolist() == pytest.approx(
        [0.4, 0.4, 0.2, np.nan, 0.4, 0.4], nan_ok=True
    )


def test_a_corpus_without_texts_has_columns_of_nothing() -> None:
    table = manifest([{"text": None}, {"text": None, "language": None}])
    assert text_measures(table).drop(columns="clip").isna().to_numpy().all()
    assert doubtful_texts(table) == []


def lasting(text: str | None, seconds: list[float]) -> list[dict[str, Any]]:
    return [{"text": text or f"sentence {each}", "end_s": each} for each in seconds]


ANY_LENGTH = np.geomspace(1.0, 16.0, 300).tolist()


def test_a_text_of_many_clips_of_any_length_is_doubtful_and_a_prompt_is_not() -> None:
    captions = lasting("[Music]", ANY_LENGTH[::20]) + lasting(" [MUSIC] ", ANY_LENGTH[5::20])
    prompts = lasting("Hey, you there", np.linspace(1.0, 1.8, 40).tolist())
    [found] = doubtful_texts(manifest([*lasting(None, ANY_LENGTH), *captions, *prompts, {"text": None}]))
    assert found["text"] == "[music]"
    assert (found["clips"], found["groups"]) == (30, 30)
    assert found["share"] == pytest.approx(30 / 370)
    assert 1.0 < found["short_s"] < 2.0
    assert 8.0 < found["long_s"] < 16.0


@pytest.mark.parametrize(
    "rows",
    [
        lasting(None, ANY_LENGTH) + lasting("[music]", ANY_LENGTH[::40]),  # eight of them are not many
        [row for word in ("one", "two", "three") for row in lasting(word, ANY_LENGTH)],  # all texts are like that
        lasting(None, [2.0] * 300) + lasting("hey", [2.0] * 30),  # all clips are as long
    ],
)
def test_where_a_text_does_not_stand_out_nothing_is_said(rows: list[dict[str, Any]]) -> None:
    assert doubtful_texts(manifest(rows)) == []
