from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from allears.audit.duplicates import find
from allears.audit.leakage import leaking_groups, leaks
from allears.audit.policy import HARD, MEANINGS, SOFT, count_reasons, judge
from allears.params.audit import AuditParams
from tests.audit_tables import manifest, measures

PARAMS = AuditParams()


def verdicts(rows: list[dict[str, Any]], values: list[dict[str, Any]], params: AuditParams = PARAMS) -> pd.DataFrame:
    table = manifest(rows)
    measured = measures(table, values)
    return judge(table, measured, find(table, measured, params.duplicates), params)


def reasons(row: dict[str, Any], value: dict[str, Any], params: AuditParams = PARAMS) -> str:
    return str(verdicts([row], [value], params)["reasons"].iloc[0])


@pytest.mark.parametrize(
    ("row", "value", "expected"),
    [
        ({}, {}, ""),
        ({}, {"clipped_share": 0.0051}, "clipped"),
        ({}, {"clipped_share": 0.005}, ""),
        ({}, {"snr_db": 9.9}, "noisy"),
        ({"end_s": 0.9}, {"snr_db": 9.9, "decoded_duration_s": 0.9}, ""),  # too short for the estimate
        ({"text": None, "language": None, "speaker": None, "group": "g"}, {"snr_db": -20.0}, ""),  # a sound
        ({}, {"silence_share": 0.61}, "silent"),
        ({"text": None, "language": None, "speaker": None, "group": "g"}, {"silence_share": 0.9}, ""),
        ({"text": None, "language": None, "speaker": None, "group": "g"}, {"silence_share": 0.96}, "silent"),
        ({}, {"bandwidth_hz": 4_700.0}, "upsampled"),
        ({}, {"bandwidth_hz": 4_900.0}, ""),
        ({"sample_rate_hz": 8_000}, {"bandwidth_hz": 2_500.0, "decoded_rate_hz": 48_000.0}, ""),
        ({}, {"bandwidth_hz": None, "snr_db": None}, ""),
        ({}, {"decoded_duration_s": 1.85}, "truncated"),
        ({}, {"decoded_duration_s": 1.95}, ""),
        ({"end_s": 0.05}, {"decoded_duration_s": 0.05}, "too_short"),
        ({"end_s": 61.0}, {"decoded_duration_s": 61.0}, "too_long"),
        ({"licence": "unknown"}, {}, "licence_unknown"),
        ({"licence": "CC-BY-NC-4.0"}, {"snr_db": 0.0}, "licence_denied,noisy"),
        ({}, {"decoded_duration_s": None, "failed_reason": "undecodable"}, "undecodable"),
    ],
)
def test_reasons(row: dict[str, Any], value: dict[str, Any], expected: str) -> None:
    assert reasons(row, value) == expected


def test_hard_soft_and_keep() -> None:
    table = verdicts([{}, {"licence": "unknown"}, {}], [{}, {"snr_db": 0.0}, {"snr_db": 0.0}])
    assert table["verdict"].tolist() == ["keep", "hard", "soft"]
    assert count_reasons(table) == {"licence_unknown": 1, "noisy": 2}


def test_unknown_licences_can_be_allowed() -> None:
    allowed = AuditParams.model_validate({"licences": {"unknown": "allow"}})
    assert reasons({"licence": "unknown"}, {}, allowed) == ""
    assert reasons({"licence": "CC-BY-ND-4.0"}, {}, allowed) == "licence_denied"


def test_noise_can_be_judged_of_all_or_none() -> None:
    sound = {"text": None, "language": None, "speaker": None, "group": "g"}
    assert reasons(sound, {"snr_db": 0.0}, AuditParams.model_validate({"quality": {"snr_of": "all"}})) == "noisy"
    assert reasons({}, {"snr_db": 0.0}, AuditParams.model_validate({"quality": {"snr_of": "none"}})) == ""


def test_duplicates_are_named() -> None:
    same = {"file_sha256": "a" * 64}
    table = verdicts([same, same, {}, {}], [{}, {}, {"pcm_sha256": "x"}, {"pcm_sha256": "x"}])
    assert table["reasons"].tolist() == ["", "byte_duplicate", "", "pcm_duplicate"]
    assert table["duplicate_of"].fillna("").tolist() == ["", "c0", "", "c2"]


def test_a_leak_excludes_the_training_side_and_never_the_test_side() -> None:
    rows = [
        {"speaker": "a", "split": "train"}, {"speaker": "a", "split": "test"}, {"speaker": "b", "split": "train"},
        {"speaker": "c", "split": "dev"}, {"speaker": "c", "split": "test"}, {"speaker": "d", "split": "train"},
        {"speaker": "d", "split": "dev"},
    ]  # fmt: skip
    table = manifest(rows)
    assert leaks(table).tolist() == [True, False, False, True, False, True, False]
    assert leaking_groups(table) == ["s/speaker/a", "s/speaker/c", "s/speaker/d"]
    judged = verdicts(rows, [{}] * len(rows))
    assert (judged["reasons"] == "speaker_leak").tolist() == leaks(table).tolist()


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == {*HARD, *SOFT}


def test_verdicts_keep_the_order_of_the_manifest() -> None:
    rows = [{"split": "train"}, {"split": "test"}, {"split": "dev"}]
    assert verdicts(rows, [{}] * 3)["clip"].tolist() == ["c0", "c1", "c2"]
