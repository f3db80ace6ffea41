from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from allears.audit.curation import select
from allears.audit.duplicates import find
from allears.audit.policy import judge
from allears.audit.representation import represent
from allears.audit.truth import COLUMNS, read, score
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, agree, manifest, measures

PARAMS = AuditParams(suspect_share=1)


def scores(truth: list[tuple[str, str, str]], rows: list[dict[str, Any]], values: list[dict[str, Any]]) -> pd.DataFrame:
    table = manifest(rows)
    measured = measures(table, values)
    verdicts = judge(table, measured, find(table, measured, PARAMS.duplicates, agree), PARAMS, STANDARD)
    selection = select(table, measured, verdicts, None, PARAMS)
    planted = pd.DataFrame(truth, columns=["path", "defect", "detail"], dtype="string")
    shares = represent(table, selection, {}, PARAMS)[0]
    return score(planted, table, measured, verdicts, shares, STANDARD).set_index("defect")


def test_precision_and_recall() -> None:
    noisy = {"snr_db": 0.0}
    table = scores(
        [("0.wav", "noisy", ""), ("1.wav", "noisy", ""), ("2.wav", "noisy", "")],
        [{}] * 5,
        [noisy, noisy, {}, noisy, {}],
    )
    row = table.loc["noisy"]
    assert (row["planted"], row["flagged"], row["found"]) == (3, 3, 2)
    assert (row["precision"], row["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert row["missed"] == "2.wav"


def test_swapped_texts_are_looked_for_once_a_model_judges() -> None:
    truth = [("0.wav", "swapped_text", ""), ("1.wav", "swapped_text", "")]
    row = scores(truth, [{}] * 3, [{"text_ctc": 1.0}, {"text_ctc": -1.0}, {"text_ctc": None}]).loc["swapped_text"]
    assert row["looked_for"]
    assert (row["planted"], row["flagged"], row["found"], row["missed"]) == (2, 1, 1, "1.wav")


def test_what_nothing_looks_for_says_so() -> None:
    row = scores([("0.wav", "swapped_text", "")], [{}], [{}]).loc["swapped_text"]
    assert not row["looked_for"]
    assert pd.isna(row["recall"])


def test_a_pair_is_found_whichever_of_the_two_is_flagged() -> None:
    same = {"file_sha256": "a" * 64}
    rows = [same | {"split": "train"}, same | {"split": "test"}, {}]
    row = scores([("1.wav", "byte_duplicate", "of 0.wav")], rows, [{}] * 3).loc["byte_duplicate"]
    assert (row["planted"], row["flagged"], row["found"]) == (1, 1, 1)


def test_a_lossless_copy_counts_as_reencoded() -> None:
    row = scores([("1.wav", "reencoded_duplicate", "")], [{}, {}], [{"pcm_sha256": "x"}] * 2)
    assert row.loc["reencoded_duplicate", "found"] == 1


def test_leaks_count_speakers_and_dominance_groups() -> None:
    rows = [
        {"speaker": "a", "split": "test", "accent": "us"}, {"speaker": "a", "accent": "us"}, {"accent": "us"},
        {"accent": "gb"},
    ]  # fmt: skip
    table = scores([("0.wav", "speaker_leak", ""), ("", "dominant_accent", "us")], rows, [{}] * 4)
    assert table["recall"].tolist() == [1.0, 1.0]
    assert table["precision"].tolist() == [1.0, 1.0]


def test_a_planted_file_that_is_no_clip_is_missed() -> None:
    row = scores([("gone.wav", "clipped", "")], [{}], [{}]).loc["clipped"]
    assert (row["planted"], row["recall"], row["missed"]) == (1, 0.0, "gone.wav")


def test_without_a_truth_table_there_are_no_scores(tmp_path: Path) -> None:
    assert read(tmp_path / "truth.csv").empty
    table = manifest([{}])
    measured = measures(table)
    verdicts = judge(table, measured, find(table, measured, PARAMS.duplicates, agree), PARAMS, STANDARD)
    empty = score(read(tmp_path / "truth.csv"), table, measured, verdicts, pd.DataFrame(), STANDARD)
    assert empty.empty
    assert list(empty.columns) == list(COLUMNS)
