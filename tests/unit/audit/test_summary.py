from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from allears.audit.curation import select
from allears.audit.duplicates import find
from allears.audit.policy import judge
from allears.audit.representation import represent
from allears.audit.summary import Tables, summarise
from allears.errors import AllearsError
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, manifest, measures

PARAMS = AuditParams()


def tables(rows: list[dict[str, Any]], values: list[dict[str, Any]]) -> Tables:
    table = manifest(rows)
    measured = measures(table, values)
    verdicts = judge(table, measured, find(table, measured, PARAMS.duplicates), PARAMS, STANDARD)
    selection = select(table, verdicts, PARAMS, "zoo")
    quarantine = pd.DataFrame({"reason": ["zero_byte", "zero_byte", "not_audio"]})
    return Tables(table, quarantine, measured, verdicts, selection, represent(table, verdicts, selection, PARAMS))


def summary_of(rows: list[dict[str, Any]], values: list[dict[str, Any]]) -> dict[str, Any]:
    return summarise(tables(rows, values), PARAMS, STANDARD, "zoo", "v1")


ROWS = [
    {"speaker": "a"}, {"speaker": "a", "split": "dev"}, {"speaker": "b", "split": "test"},
    {"speaker": "c", "licence": "unknown"}, {"speaker": "d"}, {"speaker": "e"},
]  # fmt: skip
VALUES: list[dict[str, Any]] = [{}, {}, {}, {"snr_db": 0.0}, {"snr_db": 0.0, "clipped_share": 0.5}, {}]


def test_everything_adds_up() -> None:
    summary = summary_of(ROWS, VALUES)
    total = summary["total"]["clips"]
    assert total == 6
    assert sum(count["clips"] for count in summary["verdicts"].values()) == total
    assert sum(split["clips"] for split in summary["splits"].values()) == total
    assert sum(row["clips"] for row in summary["licences"]) == total
    counted = sum(reason["counted"] for reason in summary["reasons"].values())
    assert counted == summary["verdicts"]["soft"]["clips"] + summary["verdicts"]["hard"]["clips"]
    for split in summary["splits"].values():
        assert split["keep"] + split["soft"] + split["hard"] == split["clips"]
    for reason in summary["reasons"].values():
        assert sum(reason["splits"].values()) == reason["clips"]
        assert sum(reason["counted_splits"].values()) == reason["counted"]
    assert summary["quarantine"] == {"zero_byte": 2, "not_audio": 1}
    assert sum(count["hours"] for count in summary["verdicts"].values()) == pytest.approx(summary["total"]["hours"])


def test_it_is_json() -> None:
    summary = summary_of(ROWS, VALUES)
    assert json.loads(json.dumps(summary)) == summary


def test_findings_name_what_matters() -> None:
    text = " ".join(finding["text"] for finding in summary_of(ROWS, VALUES)["findings"])
    for words in ("may not be used", "In more than one split", "Left out entirely", "Only", "quarantine"):
        assert words in text, words


def test_what_a_person_decided_is_counted_and_what_had_no_effect_is_said() -> None:
    table = manifest(ROWS)
    measured = measures(table, VALUES)
    said = [("c3", "keep", "ours"), ("c4", "keep", "clear"), ("c5", "drop", "a cough")]
    decided = pd.DataFrame(said, columns=["clip", "decision", "why"], dtype="string")
    verdicts = judge(table, measured, find(table, measured, PARAMS.duplicates), PARAMS, STANDARD, decided)
    selection = select(table, verdicts, PARAMS, "zoo")
    frames = Tables(table, pd.DataFrame({"reason": []}), measured, verdicts, selection,
                    represent(table, verdicts, selection, PARAMS))  # fmt: skip
    summary = summarise(frames, PARAMS, STANDARD, "zoo", "v1")
    refused = {"licence_unknown": 1}
    assert summary["overrides"] == {"kept": 1, "dropped": 1, "refused_clips": 1, "refused": refused}
    text = " ".join(finding["text"] for finding in summary["findings"])
    assert "1 kept, 1 dropped" in text
    assert "but out all the same: 1 clip (licence_unknown 1)" in text
    assert "corpus=zoo,ingest.licence=" in text


def test_a_lost_clip_is_noticed() -> None:
    whole = tables(ROWS, VALUES)
    broken = whole.verdicts.assign(verdict=whole.verdicts["verdict"].replace("soft", "gone"))
    lost = Tables(whole.manifest, whole.quarantine, whole.measures, broken, whole.selection, whole.representation)
    with pytest.raises(AllearsError, match="6 clips went in"):
        summarise(lost, PARAMS, STANDARD, "zoo", "v1")
