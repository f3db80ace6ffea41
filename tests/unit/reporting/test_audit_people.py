from __future__ import annotations

from typing import Any

from allears.audit.curation_table import before_and_after
from allears.audit.targets import Target
from allears.params.audit import CurationParams
from allears.reporting import audit_curation, audit_people, audit_sections
from tests.audit_people import Audited, audited

HOSTILE = "<script>alert(1)</script>"


def two_accents(**changes: Any) -> Audited:
    rows = [{"accent": "a" if i < 120 else HOSTILE, "speaker": f"p{i % 12}-{i < 120}"} for i in range(240)]
    return audited(rows, [{"snr_db": 0.0 if i >= 170 else 30.0} for i in range(240)], suspect_share=1, **changes)


def test_filters_that_take_a_group_away_are_shown_and_names_cannot_run() -> None:
    whole = two_accents()
    warnings, table = whole.summary()["disparity"], whole.disparity()
    shown = str(audit_people.disparity_warnings(warnings))
    assert "&lt;script&gt;" in shown
    assert HOSTILE not in shown
    assert "<code>noisy</code>" in shown
    assert "warned" in shown
    removed = {each["name"]: str(each["table"]) for each in audit_people.removed(table)}
    assert set(removed) == {"Accent", "Language"}
    assert "58 %" in removed["Accent"]
    line = audit_people.disparity_line(table, warnings, 0.8)
    assert line.startswith(f"{len(warnings)} times a filter keeps")


def test_without_a_disparity_the_page_says_so_and_why() -> None:
    good = audited([{"accent": "ab"[i % 2], "speaker": f"p{i % 24}"} for i in range(240)]).disparity()
    assert audit_people.disparity_line(good, [], 0.8).startswith("No filter keeps")
    assert audit_people.disparity_warnings([]) is None
    few = audited([{"accent": "a"}]).disparity()
    assert audit_people.disparity_line(few, [], 0.8).startswith("No group is large enough")


def test_the_distance_from_a_target_and_what_is_lacking() -> None:
    whole = two_accents(targets={"accent": Target("census.csv", {"a": 0.25, "c": 0.75})})
    shown = str(audit_people.balance(whole.summary()["axes"]))
    assert "∞" in shown  # one accent of the corpus is not in the census
    assert "census.csv" in shown
    cells, _ = whole.represented()
    against = str(audit_people.against_target(cells))
    assert "-75.0" in against
    assert "+25.0" in against
    assert audit_people.against_target(two_accents().represented()[0]) is None
    assert "target" not in str(audit_people.balance(two_accents().summary()["axes"]))


def test_the_table_of_reasons_adds_up_with_a_curation() -> None:
    whole = two_accents(curation={"budget_hours": 100 / 3600})
    summary = whole.summary()
    shown = str(audit_sections.reasons(summary))
    assert "<code>budget</code>" in shown
    assert f">{summary['selected']['clips']:,}<" in shown
    curated = before_and_after(whole.manifest, whole.selection, whole.params)
    assert "after the curation" in str(audit_curation.whole(curated))
    assert [each["name"] for each in audit_curation.by_axis(curated)] == ["Language", "Accent"]


def test_what_was_asked_for_is_said() -> None:
    assert audit_curation.line(CurationParams()).startswith("No curation is asked for")
    asked = {"axis": "age", "alpha": 0.5, "speaker_max_hours": 2.0, "budget_hours": 9.0}
    line = audit_curation.line(CurationParams.model_validate(asked))
    for words in ("age become p^0.5", "at most 2.00 h", "budget is 9.00 h", "no clip more than 4 times"):
        assert words in line
    assert "are to be those of uniform" in audit_curation.line(CurationParams(axis="age", target="uniform"))
