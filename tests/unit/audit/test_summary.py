from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from allears.audit.summary import summarise
from allears.audit.targets import Target
from allears.errors import AllearsError
from tests.audit_people import audited
from tests.audit_tables import STANDARD


def summary_of(rows: list[dict[str, Any]], values: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return audited(rows, values, **changes).summary()


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
    for words in (
        "may not be used: the licence is",
        "In more than one split",
        "Left out entirely",
        "Only",
        "quarantine",
    ):
        assert words in text, words


def test_what_a_person_decided_is_counted_and_what_had_no_effect_is_said() -> None:
    said = [("c3", "keep", "ours"), ("c4", "keep", "clear"), ("c5", "drop", "a cough")]
    decided = pd.DataFrame(said, columns=["clip", "decision", "why"], dtype="string")
    summary = audited(ROWS, VALUES, decided=decided).summary()
    refused = {"licence_unknown": 1}
    assert summary["overrides"] == {"kept": 1, "dropped": 1, "refused_clips": 1, "refused": refused}
    text = " ".join(finding["text"] for finding in summary["findings"])
    assert "1 kept, 1 dropped" in text
    assert "but out all the same: 1 clip (licence_unknown 1)" in text
    assert "column licence of the clips' own table says 'unknown'" in text


def test_a_lost_clip_is_noticed() -> None:
    whole = audited(ROWS, VALUES)
    broken = whole.verdicts.assign(verdict=whole.verdicts["verdict"].replace("soft", "gone"))
    with pytest.raises(AllearsError, match="6 clips went in"):
        summarise(replace(whole.tables(), verdicts=broken), whole.params, STANDARD, "zoo", "v1")


@pytest.mark.parametrize("changes", [{}, {"keep_despite": ["noisy", "clipped"]}])
def test_what_curation_leaves_out_adds_up_too(changes: dict[str, Any]) -> None:
    rows = [{"speaker": f"p{i % 5}", "split": "test" if i % 5 == 0 else "train"} for i in range(40)]
    values = [{"snr_db": 0.0} if i % 7 == 0 else {} for i in range(40)]
    summary = summary_of(rows, values, curation={"speaker_max_hours": 10 / 3600, "budget_hours": 30 / 3600}, **changes)
    left_out, verdicts = summary["left_out"], summary["verdicts"]
    assert left_out["curation"] > 0
    assert summary["selected"]["clips"] + sum(left_out.values()) == summary["total"]["clips"]
    assert summary["passed"]["clips"] - summary["selected"]["clips"] == left_out["curation"]
    assert sum(facts["clips"] for facts in summary["curation"].values()) == left_out["curation"]
    clean = sum(facts["counted"] for facts in summary["curation"].values())
    assert verdicts["keep"]["clips"] - clean <= summary["selected"]["clips"]
    assert (left_out["soft"] == 0) == bool(changes)
    assert "note: The curation leaves out" in "\n".join(f"{f['level']}: {f['text']}" for f in summary["findings"])


def test_six_speakers_of_one_gender_and_accents_of_one_speaker_are_said_in_plain_words() -> None:
    """As in the free spoken digit data set."""
    accents = ["GRC", "USA", "DEU", "BEL", "FRA", "GBR"]
    rows = [{"gender": "male", "accent": accents[i % 6], "speaker": f"p{i % 6}"} for i in range(660)]
    text = audited(rows).findings()
    assert "warn: Gender: 'male' is the only one there is: how well any other would be served cannot be seen" in text
    assert (
        "warn: Accent: each of the 6 groups is one of the speakers, so what is due to the accent cannot be told" in text
    )
    assert "no conclusion about accent is possible" in text
    assert "warn: Only 6 speakers: no conclusion about groups of people is possible." in text


def test_few_of_each_and_those_who_do_not_tell() -> None:
    rows = [{"gender": "male" if i < 6 else None, "age": str(20 + 10 * (i % 2)), "speaker": f"p{i}"} for i in range(12)]
    text = audited(rows).findings()
    assert "Gender: 'male' is the only one there is (of the 50% of the hours of which it is known)" in text
    assert "Age: none of the 2 groups has more than 6 speakers" in text
    assert "Nothing is known of: accent, label." in text


def test_groups_too_small_are_named_beside_those_that_are_not() -> None:
    rows = [{"accent": "a", "speaker": f"p{i % 12}"} for i in range(120)] + [{"accent": "b", "speaker": "q"}] * 5
    text = audited(rows).findings()
    assert "note: Accent: not assessable, because under 10 speakers or 100 clips: b." in text


def test_what_the_target_has_and_the_corpus_has_not_is_a_finding() -> None:
    rows = [{"language": "en", "speaker": f"p{i}"} for i in range(3)]
    target = Target("census.csv", {"en": 0.6, "sw": 0.3, "fi": 0.1})
    text = audited(rows, targets={"language": target}).findings()
    assert "Language: the target 'census.csv' has sw (30%), fi (10%), the corpus has none of it." in text


def test_a_text_that_hardly_anybody_said_is_a_finding() -> None:
    rows = [{"text": f"sentence {i}", "end_s": 1.0 + i % 10} for i in range(100)]
    rows += [{"text": "Thanks for watching!", "end_s": 1.0 + i} for i in range(10)]
    text = audited(rows).findings()
    assert (
        "warn: The text 'thanks for watching!' is that of 10 clips (9.1% of those with a text) that last 1.9 to" in text
    )
    assert "The text" not in audited(rows[:100]).findings()
