from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from allears.audit.duplicates import find
from allears.audit.leakage import leaking_groups, leaks
from allears.audit.policy import COLUMNS, count_reasons, having, in_words, judge, reasons_of
from allears.errors import ConfigError
from allears.params.audit import AuditParams
from allears.params.policy import STRUCTURAL, Policies, Policy
from tests.audit_tables import POLICIES, STANDARD, agree, manifest, measures

PARAMS = AuditParams(suspect_share=1)  # a rule takes what it flags, however much; `test_suspect` has the rest
SOUND = {"text": None, "language": None, "speaker": None, "group": "g"}


def verdicts(
    rows: list[dict[str, Any]],
    values: list[dict[str, Any]],
    params: AuditParams = PARAMS,
    policy: Policy = STANDARD,
    decided: list[tuple[str, str]] = [],  # noqa: B006
) -> pd.DataFrame:
    table = manifest(rows)
    measured = measures(table, values)
    said = pd.DataFrame([(*one, "heard it") for one in decided], columns=["clip", "decision", "why"], dtype="string")
    return judge(table, measured, find(table, measured, params.duplicates, agree), params, policy, said)


def rules(**given: dict[str, Any]) -> Policy:
    return Policies.model_validate({"mine": given}).chosen("mine")


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
        (SOUND, {"snr_db": -20.0}, ""),  # a sound
        (SOUND, {"snr_db": -20.0, "speech_share": 0.5}, "noisy"),  # nobody said so, but it is heard as speech
        ({}, {"silence_share": 0.61}, "silent"),
        (SOUND, {"silence_share": 0.9}, ""),
        (SOUND, {"silence_share": 0.96}, "silent"),
        ({}, {"bandwidth_hz": 4_700.0}, "upsampled"),
        ({}, {"bandwidth_hz": 4_900.0}, ""),
        ({"sample_rate_hz": 8_000}, {"bandwidth_hz": 2_500.0, "decoded_rate_hz": 48_000.0}, ""),
        ({}, {"bandwidth_hz": None, "snr_db": None}, ""),
        ({}, {"decoded_duration_s": 1.85}, "truncated"),
        ({}, {"decoded_duration_s": 1.95}, ""),
        ({"end_s": 0.05, "text": "a"}, {"decoded_duration_s": 0.05}, "too_short"),
        ({"end_s": 61.0, "text": 20 * "hello "}, {"decoded_duration_s": 61.0}, "too_long,repeats"),
        ({"end_s": 61.0}, {"decoded_duration_s": 61.0}, "too_long,text_rate"),
        ({"text": 9 * "words "}, {}, "text_rate"),
        ({"text": "привет"}, {}, "wrong_script"),
        ({"text": "donaudampfschifffahrtsgesell"}, {}, "long_word"),
        ({"text": "donaudampfschifffahrtsgesell", "language": "de"}, {}, ""),
        ({}, {"hum_db": 15.1}, "hum"),
        (SOUND, {"hum_db": 15.1, "speech_share": 0.0}, ""),
        ({}, {"speech_share": 0.05}, "no_speech"),
        ({"end_s": 0.9}, {"speech_share": 0.0, "decoded_duration_s": 0.9}, ""),
        ({"channels": 2}, {"mix_loss_db": 7.0}, "out_of_phase"),
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


@pytest.mark.parametrize("of", ["all", "speech", "sounds", "text", "none"])
def test_a_rule_says_which_clips_it_judges(of: str) -> None:
    rows = [{"text": "hello"}, {"text": None}, SOUND]
    flagged = verdicts(rows, [{"snr_db": 0.0}] * 3, policy=rules(noisy={"measure": "snr_db", "min": 10, "of": of}))
    expected = {"all": [1, 1, 1], "speech": [1, 1, 0], "sounds": [0, 0, 1], "text": [1, 0, 0], "none": [0, 0, 0]}[of]
    assert (flagged["reasons"] == "noisy").astype(int).tolist() == expected


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


def test_every_reason_has_a_meaning_and_those_in_code_are_reserved() -> None:
    known = reasons_of(STANDARD)
    assert all(reason.means for reason in known.values())
    assert set(known) == {*STRUCTURAL, *STANDARD.root}
    assert reasons_of(rules(loud={"measure": "rms_dbfs", "max": -3}))["loud"].means == "rms_dbfs over -3"


def test_a_hard_rule_keeps_a_clip_out_and_cannot_be_forgiven() -> None:
    policy = rules(noisy={"measure": "snr_db", "min": 10, "verdict": "hard"})
    table = verdicts([{}], [{"snr_db": 0.0}], policy=policy, decided=[("c0", "keep")])
    assert (table["verdict"].iloc[0], table["reasons"].iloc[0]) == ("hard", "noisy")
    with pytest.raises(ConfigError, match=r"'noisy' is no soft reason of the policy 'standard'\. Valid are reencoded"):
        verdicts([{}], [{}], AuditParams(keep_despite=("noisy",)), policy)


def test_a_rule_over_no_measure_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"standard\.noisy\.measure: .* 'snr'; did you mean 'snr_db'\?.*_share"):
        verdicts([{}], [{}], policy=rules(noisy={"measure": "snr", "min": 10}))


def test_words_of_a_rule() -> None:
    rule = STANDARD.root["silent"]
    assert in_words(rule) == "silence_share over 0.6, over 0.95 (sounds)"
    noisy = "snr_db under 15, of speech, of 1 s and more"
    assert in_words(STANDARD.root["noisy"]) == noisy


def test_a_person_keeps_and_drops() -> None:
    rows = [{}, {}, {"licence": "unknown"}, {"speaker": "a"}, {"speaker": "a", "split": "test"}]
    values = [{"snr_db": 0.0}, {}, {"snr_db": 0.0}, {"clipped_share": 0.5}, {}]
    said = [("c0", "keep"), ("c1", "drop"), ("c2", "keep"), ("c3", "keep")]
    table = verdicts(rows, values, decided=said)
    assert list(table.columns) == list(COLUMNS)
    assert table["verdict"].tolist() == ["keep", "soft", "hard", "soft", "keep"]
    assert table["reasons"].tolist() == ["", "dropped_by_person", "licence_unknown", "speaker_leak", ""]
    assert table["overridden"].tolist() == ["noisy", "", "noisy", "clipped", ""]
    assert table["override"].fillna("").tolist() == ["keep", "drop", "keep", "keep", ""]
    assert table["override_why"].fillna("").tolist() == ["heard it"] * 4 + [""]


def test_joined_reasons_are_those_of_judging_clip_by_clip() -> None:
    """Against the obvious way: a list a clip, each rule's words compared with each value."""
    rng = np.random.default_rng(0)
    values = [
        {
            "snr_db": rng.choice([0.0, 30.0, np.nan]), "clipped_share": rng.choice([0.0, 0.1]),
            "silence_share": rng.choice([0.1, 0.8, 1.0]), "decoded_duration_s": rng.choice([0.05, 2.0, 90.0]),
        }
        for _ in range(200)
    ]  # fmt: skip
    rows = [{"licence": rng.choice(["CC0-1.0", "unknown"])} | (SOUND if i % 3 else {}) for i in range(200)]
    table = verdicts(rows, values, policy=STANDARD)
    for row, value, found in zip(rows, values, table["reasons"], strict=True):
        speech, seconds = row.get("text", "hello") is not None, value["decoded_duration_s"]
        expected = ["licence_unknown"] if row["licence"] == "unknown" else []
        expected += ["silent"] if value["silence_share"] > (0.6 if speech else 0.95) else []
        expected += ["noisy"] if speech and seconds >= 1 and value["snr_db"] < 10 else []
        expected += ["clipped"] if value["clipped_share"] > 0.005 else []
        expected += ["truncated"] if abs(seconds - 2) > 0.1 else []
        expected += ["too_short"] if seconds < 0.1 else ["too_long"] if seconds > 60 else []
        assert found == ",".join(expected)
    for code in ("noisy", "clipped"):
        assert having(table["reasons"], code).tolist() == [code in each.split(",") for each in table["reasons"]]


def test_presets_get_stricter() -> None:
    names = ["lenient", "standard", "strict"]
    rng = np.random.default_rng(1)
    values = [
        {
            "snr_db": rng.uniform(-5, 40), "clipped_share": rng.uniform(0, 0.1) ** 2, "rms_dbfs": rng.uniform(-60, -10),
            "silence_share": rng.uniform(0, 1), "bandwidth_hz": rng.uniform(1_000, 8_000),
            "decoded_duration_s": 2.0, "zero_share": rng.uniform(0, 1), "dc_offset": rng.uniform(-0.02, 0.02),
        }
        for _ in range(300)
    ]  # fmt: skip
    kept = [verdicts([{}] * 300, values, policy=POLICIES.chosen(name))["verdict"] == "keep" for name in names]
    assert 0 < kept[2].sum() < kept[1].sum() < kept[0].sum() < 300
    assert (kept[0] | ~kept[1]).all()
    assert (kept[1] | ~kept[2]).all()


def test_verdicts_keep_the_order_of_the_manifest() -> None:
    rows = [{"split": "train"}, {"split": "test"}, {"split": "dev"}]
    assert verdicts(rows, [{}] * 3)["clip"].tolist() == ["c0", "c1", "c2"]


def test_what_was_withdrawn_is_hard_and_no_person_may_keep_it() -> None:
    table = manifest([{}, {}])
    measured = measures(table, [{"pcm_sha256": "gone"}, {}])
    found = find(table, measured, PARAMS.duplicates, agree)
    said = pd.DataFrame([("c0", "keep", "please")], columns=["clip", "decision", "why"], dtype="string")
    result = judge(table, measured, found, PARAMS, STANDARD, said, ["gone", "another"])
    assert result[["verdict", "reasons"]].to_numpy().tolist() == [["hard", "withdrawn"], ["keep", ""]]
