from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.split_comparison import COLUMNS, DIFFERENCES, LEAST_DB, compare, lies_apart
from tests.audit_people import Audited, audited
from tests.audit_tables import manifest, measures
from tests.reference import splits as slow

Rows = list[dict[str, Any]]


def compared(rows: Rows, values: Rows | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = manifest(rows)
    return compare(table, measures(table, values), pd.DataFrame({"clip": table["clip"], "keep": True}))


def many(count: int, split: str, **known: Any) -> Rows:
    """So many clips of twelve speakers."""
    return [
        {"split": split, "text": f"{split} {i}", "speaker": f"{split}{known.get('source', '')}{i % 12}"} | known
        for i in range(count)
    ]


def two_sources() -> Audited:
    """A in train and test, B only in dev, of another language and rate."""
    a = {"source": "a", "language": "en", "sample_rate_hz": 16_000}
    b = {"source": "b", "language": "sw", "sample_rate_hz": 48_000}
    return audited([*many(60, "train", **a), *many(24, "test", **a), *many(24, "dev", **b)])


def test_a_dev_of_another_language_source_and_rate_is_a_finding() -> None:
    text = two_sources().findings()
    assert (
        "warn: Dev is not like train: another language (sw; train: en), another source (b; train: a) and another "
        "sample rate (48000 Hz; train: 16000 Hz); what is chosen on it suits other audio than train's." in text
    )
    assert "Test is not like" not in text
    assert "note: Source a is not like b: another language (en; b: sw) and another sample rate (16000 Hz; b" in text


def test_splits_of_one_kind_are_no_finding() -> None:
    text = audited([*many(60, "train"), *many(24, "dev"), *many(24, "test")]).findings()
    for words in ("not like", "all clips are of one", "that train has too"):
        assert words not in text


def test_the_table_has_a_row_a_split_a_source_and_both() -> None:
    rows = [
        {"source": "a", "speaker": "p", "text": "One!", "language": "en-GB"},
        {"source": "a", "speaker": "q", "text": "two", "language": "eng", "end_s": 6.0},
        {"source": "b", "speaker": None, "group": "b/session/1", "text": None, "language": None, "split": "test"},
        {"source": "b", "speaker": "r", "text": "one", "language": "fr", "split": "test", "sample_rate_hz": 8_000},
    ]
    table, _ = compared(rows, [{"rms_dbfs": level} for level in (-20.0, -30.0, -26.0, -40.0)])
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 3 + 2 + 2
    by = table.set_index([table["split"].fillna("all"), table["source"].fillna("all")])
    train, test = by.loc[("train", "all")], by.loc[("test", "all")]
    assert (train["clips"], train["speakers"], train["sources"], train["texts"]) == (2, 2, 1, 2)
    assert (train["language"], train["language_share"]) == ("en", 1.0)
    assert train["hours"] == pytest.approx(8 / 3600)
    assert train["rms_dbfs_median"] == pytest.approx(-25.0)
    assert (test["language"], test["language_share"]) == ("fr", 0.5)  # of the other half nothing is known
    assert (test["speakers"], test["groups"], test["text_in_train"]) == (1, 2, 1.0)
    assert np.isnan(train["text_in_train"])
    assert by.loc[("dev", "all"), "clips"] == 0
    assert pd.isna(by.loc[("dev", "all"), "language"])
    assert by.loc[("all", "b"), "clips"] == 2


def test_only_what_is_selected_counts() -> None:
    table = manifest([{"split": "train"}, {"split": "train", "sample_rate_hz": 8_000}])
    some = pd.DataFrame({"clip": table["clip"], "keep": [True, False]})
    rows, differences = compare(table, measures(table), some)
    assert rows.loc[0, "clips"] == 1
    assert rows.loc[0, "sample_rate_hz_share"] == 1.0
    assert differences.empty
    nothing, _ = compare(table, measures(table), some.assign(keep=False))
    assert nothing["clips"].sum() == 0


VALUES = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9)), min_size=1, max_size=12)


@settings(max_examples=30)  # each compares two tables
@given(VALUES, VALUES)
def test_compositions_are_compared_as_value_by_value(here: list[tuple[str, int]], there: list[tuple[str, int]]) -> None:
    rows = [
        {"split": split, "language": value, "end_s": float(hours)}
        for split, side in (("dev", here), ("train", there))
        for value, hours in side
    ]
    _, differences = compared(rows)
    assert list(differences.columns) == list(DIFFERENCES)
    found = differences.set_index("measure").loc["language"]
    expected = slow.variation_distance(
        [(value, float(hours)) for value, hours in here], [(value, float(hours)) for value, hours in there]
    )
    assert found["distance"] == pytest.approx(expected)
    degree = "wholly" if expected > 0.999 else "mostly" if expected > 0.5 else "partly" if expected > 0.2 else ""
    assert found["differs"] == degree or min(abs(expected - 0.5), abs(expected - 0.2)) < 1e-9


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 0.9, 1.0])
def test_the_more_of_dev_is_of_another_rate_the_graver(share: float) -> None:
    rows = many(40, "train") + [
        row | {"sample_rate_hz": 8_000 if i < 40 * share else 16_000} for i, row in enumerate(many(40, "dev"))
    ]
    text = audited(rows).findings()
    expected = "warn" if share >= 0.5 else "note" if share >= 0.2 else None
    assert ("Dev is not like train" in text) == (expected is not None)
    if expected:
        assert f"{expected}: Dev is not like train" in text


@pytest.mark.parametrize("measure", ["rms_dbfs", "snr_db"])
@pytest.mark.parametrize("spread", [0.5, 6.0])
@pytest.mark.parametrize("shift", [-20.0, -8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0, 20.0])
def test_levels_differ_where_they_are_audibly_apart_and_out_of_the_usual_range(
    measure: str, spread: float, shift: float
) -> None:
    rng = np.random.default_rng(0)
    train, dev = 25 + spread * rng.standard_normal(400), 25 + shift + spread * rng.standard_normal(100)
    sign = -1.0 if measure == "rms_dbfs" else 1.0
    values = [{measure: sign * value} for value in (*train, *dev)]
    _, differences = compared(many(400, "train") + many(100, "dev"), values)
    found = differences.set_index("measure").loc[measure]
    assert found["distance"] == pytest.approx(sign * shift, abs=spread / 4)
    assert (found["differs"] == "wholly") == (abs(shift) >= LEAST_DB and abs(shift) > spread)


def test_a_level_is_not_judged_by_a_few_clips() -> None:
    assert lies_apart(np.full(10, -40.0), np.full(10, -20.0))
    assert not lies_apart(np.full(9, -40.0), np.full(10, -20.0))


def test_a_quieter_dev_is_a_finding() -> None:
    rows = many(40, "train") + many(20, "dev")
    text = audited(rows, [{"rms_dbfs": -20.0}] * 40 + [{"rms_dbfs": -30.5}] * 20).findings()
    assert "warn: Dev is not like train: level 10.5 dB lower; what is chosen on it" in text


def test_an_unknown_language_is_not_another_one() -> None:
    rows = many(40, "train", language="en") + many(20, "dev", language=None)
    assert "not like" not in audited(rows).findings()


WORDS = st.lists(st.sampled_from(["one", "One!", "two", "two three", "four"]), min_size=1, max_size=8)


@settings(max_examples=30)
@given(WORDS, WORDS)
def test_shared_texts_are_those_found_one_by_one(train: list[str], test: list[str]) -> None:
    rows = [{"text": text} for text in train] + [{"split": "test", "text": text} for text in test]
    table, _ = compared(rows)
    plain = [[text.replace("!", "") for text in side] for side in (test, train)]
    shared = table.set_index("split").loc["test", "text_in_train"]
    assert shared == pytest.approx(slow.shared_text(*plain))


def test_texts_of_test_that_are_trained_on_are_a_finding() -> None:
    shared = [row | {"text": f"train {i}"} for i, row in enumerate(many(20, "test"))]
    text = audited(many(60, "train") + shared + many(10, "test")).findings()
    assert (
        "warn: 67% of the test clips with a text say one that train has too: an error rate there is not that of new "
        "sentences." in text
    )


def test_a_closed_set_of_sentences_is_a_note() -> None:
    rows = [row | {"text": f"digit {i % 10}"} for i, row in enumerate(many(240, "train") + many(60, "test"))]
    text = audited(rows).findings()
    assert "note: Train says 10 different texts, and 100% of its clips with a text say one that many people say" in text
    assert "note: 100% of the test clips" in text
    assert "warn: 100%" not in text


def test_templates_are_texts_of_ten_speakers_or_of_half_of_few() -> None:
    ten = [{"speaker": f"p{i}", "text": "same" if i < 10 else "own"} for i in range(30)]
    assert compared([*ten[:10], *({**row, "text": f"own {i}"} for i, row in enumerate(ten[10:]))])[0].loc[
        0, "template_share"
    ] == pytest.approx(1 / 3)
    six = [{"speaker": f"p{i}", "text": "same" if i < 3 else f"own {i}"} for i in range(6)]
    assert compared(six)[0].loc[0, "template_share"] == 0.5
    two = [{"speaker": f"p{i}", "text": "same"} for i in range(2)]
    assert compared(two)[0].loc[0, "template_share"] == 0.0


def test_a_split_of_one_speaker_and_one_of_one_source_are_findings() -> None:
    rows = [*many(40, "train", source="a"), *many(40, "train", source="b"), *many(30, "test", source="a")]
    rows += [row | {"speaker": "alone"} for row in many(20, "dev", source="b") + many(20, "dev", source="a")]
    one_group = [row | ({"group": "x"} if row["split"] == "dev" else {}) for row in rows]
    text = audited(one_group).findings()
    assert "warn: Dev: all clips are of one of the speakers" in text
    assert "Test is not like train: other shares by source (50% of the hours: a; train: a 50%, b 50%)" in text
    most = [row | {"source": "b" if i == 0 else "a"} for i, row in enumerate(many(60, "train"))]
    assert (
        "note: Test: all clips are of one source; the corpus has 2."
        in audited(most + many(30, "test", source="a")).findings()
    )
