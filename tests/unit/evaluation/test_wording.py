import pandas as pd

from allears.evaluation.wording import gain_text, name_targets, verdict


def test_the_verdict_claims_no_more_than_the_interval() -> None:
    row = {"assessable": True, "low": 0.01, "high": 0.2, "clips": 200, "speakers": 20}
    assert verdict(row) == "better"
    assert verdict(row | {"low": -0.01}) == "unclear"
    assert verdict(row | {"low": -0.2, "high": -0.01}) == "worse"
    assert "not assessable" in verdict(row | {"assessable": False})


def test_a_gain_is_in_points() -> None:
    assert gain_text({"gain": 0.0854, "low": -0.047, "high": 0.127}) == "+8.5 [-4.7, +12.7]"


def test_a_target_that_several_tasks_learn_is_named_with_its_task():
    table = pd.DataFrame({"task": ["classify", "ctc", "other"], "target": ["label", "text", "text"]})
    assert name_targets(table)["target"].tolist() == ["label", "text (ctc)", "text (other)"]
    assert name_targets(table[:2])["target"].tolist() == ["label", "text"]
    probe = table.drop(columns="task")
    assert name_targets(probe) is probe
    assert name_targets(table[:0]).empty
