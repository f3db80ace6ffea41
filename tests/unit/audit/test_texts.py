from __future__ import annotations

import numpy as np
import pytest

from allears.audit.texts import COLUMNS, repeated_texts, text_measures
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
    found = repeated_texts(table)
    assert found.to_dict("records") == [{"text": "thanks for watching", "clips": 2, "groups": 2, "share": 0.4}]


def test_a_corpus_without_texts_has_columns_of_nothing() -> None:
    table = manifest([{"text": None}, {"text": None, "language": None}])
    assert text_measures(table).drop(columns="clip").isna().to_numpy().all()
    assert repeated_texts(table).empty
