import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from allears.evaluation.breakdown import CURVE_COLUMNS, ENCODER_COLUMNS, STEPS_COLUMNS
from allears.process.energy import Cost
from allears.reporting.costs import cost_in_words, cost_table
from allears.reporting.model_card import ModelFacts, model_card
from allears.reporting.report_page import ReportData, answer, render
from allears.reporting.truth import truth_table

COST = Cost(device="1 × A", device_hours=12.345, energy_kwh=4.567, co2e_kg=0.0999, how="measured <here>")
BASE = {"task": "classify", "target": "digit", "clips": 300, "speakers": 20, "repetitions": 3, "assessable": True}


def _row(share: float, low: float, high: float, axis: str = "all", cell: str = "all", **more: object) -> dict:
    gain = (low + high) / 2
    return BASE | {
        "share": share, "axis": axis, "cell": cell, "baseline": "scratch", "low": low, "high": high, "gain": gain,
        "baseline_error": 0.5, "pretrained_error": 0.5 - gain,
    } | more  # fmt: skip


def _data(evaluation: pd.DataFrame) -> ReportData:
    return ReportData(
        corpus="c",
        version="0" * 64,
        pretrained={"run": "r", "objective": "best_rq", "updates": 10, "parameters": 2e6}
        | {"metrics": {}, "hours_heard": 0.5},
        tuned={"corpus": "other", "run": "abc"},
        events=[{"kind": "metrics", "step": 1, "hours_heard": 0.1, "values": {"loss": 3.0}}],
        probe=pd.DataFrame(),
        probe_encoders=pd.DataFrame(columns=ENCODER_COLUMNS),
        evaluation=evaluation,
        encoders=pd.DataFrame(columns=ENCODER_COLUMNS),
        steps=pd.DataFrame(columns=STEPS_COLUMNS),
        curves=pd.DataFrame(columns=CURVE_COLUMNS),
        truth_scores=pd.DataFrame(),
    )


@pytest.mark.parametrize(
    ("intervals", "level", "words"),
    [
        ([(0.1, 0.2), (0.01, 0.1)], "yes", "Yes, at every share"),
        ([(0.1, 0.2), (-0.01, 0.1)], "yes", "Yes, in 1 of 2.*nothing either way"),
        ([(0.1, 0.2), (-0.2, -0.1)], "care", "Yes, in 1 of 2.*it hurt in 1"),
        ([(-0.1, 0.2), (-0.2, 0.1)], "care", "Not shown"),
        ([(-0.1, 0.2), (-0.2, -0.1)], "no", "No: it hurt in 1 of 2"),
    ],
)
def test_the_answer_follows_the_intervals(intervals: list[tuple[float, float]], level: str, words: str):
    rows = [_row(share, low, high) for share, (low, high) in zip((0.1, 1.0), intervals, strict=True)]
    found = answer(pd.DataFrame(rows))
    assert found["level"] == level
    assert re.search(words, found["headline"])


def test_too_few_speakers_answer_nothing():
    found = answer(pd.DataFrame([_row(1.0, 0.1, 0.2, speakers=1, assessable=False)]))
    assert (found["level"], found["headline"][:15]) == ("care", "Not assessable:")
    assert "300 clips of 1 speakers" in found["text"]
    mixed = answer(pd.DataFrame([_row(0.1, 0.1, 0.2, speakers=1, assessable=False), _row(1.0, -0.1, 0.2)]))
    assert mixed["headline"].startswith("Not shown")


def test_a_public_base_is_disclosed_whether_it_was_continued_or_taken_as_it_is():
    base = {"name": "acme", "licence": "MIT", "origin": "ACME, <audiobooks>"}
    evaluation, unknown = pd.DataFrame([_row(1.0, 0.01, 0.1)]), "What that was trained on is unknown."
    as_it_is = render(replace(_data(evaluation), tuned={"corpus": "acme", "base": base}, unknown=unknown))
    continued = render(replace(_data(evaluation), tuned={"corpus": "c", "run": "abc", "base": base}, unknown=unknown))
    assert "is the public base <b>acme</b>" in as_it_is
    assert "continues the public base acme" in continued
    for page in (as_it_is, continued):
        assert "licence MIT; ACME, &lt;audiobooks&gt;" in page
        assert f"<b>{unknown}</b>" in page
    assert "public base" not in render(_data(evaluation))


def test_the_page_says_what_is_not_assessable_and_fetches_nothing():
    evaluation = pd.DataFrame(
        [_row(1.0, 0.01, 0.1), _row(1.0, -0.1, 0.3, axis="gender", cell="<b>f", clips=20, assessable=False)]
    )
    probe = pd.DataFrame([_row(0.1, 0.1, 0.2, layer=layer, chosen=layer == 1, baseline_layer=0) for layer in range(3)])
    page = render(
        replace(
            _data(evaluation),
            probe=probe,
            probe_encoders=pd.DataFrame([_row(1.0, 0.02, 0.04, baseline="another")], columns=ENCODER_COLUMNS),
            encoders=pd.DataFrame([_row(1.0, 0.02, 0.04, baseline="<i>best_rq")], columns=ENCODER_COLUMNS),
            costs=[("pretraining", "abc", COST), ("probe", "<u>", None)],
        )
    )
    body = page[: page.index("<script>")] if "<script>" in page else page
    assert "not assessable" in body
    assert "+30.0" not in body
    assert "that of corpus <b>other</b>, run <code>abc</code>" in body
    assert "&lt;b&gt;f" in body
    assert body.count("Against other encoders") == 2
    assert "another" in body
    assert "&lt;i&gt;best_rq" in body
    assert '<td class="text">measured &lt;here&gt;</td>' in body
    assert "&lt;u&gt;" in body
    assert not re.search(r"""(src|href)=["']?https?:""", body)


def test_the_table_of_costs_adds_up_what_is_known_and_says_what_is_not():
    lines = cost_table([("pretraining", "a", COST), ("probe", "b", COST), ("fine-tuning", "c", None)]).split("<tr")[2:]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in lines]
    assert cells[0] == ["pretraining", "<code>a</code>", "1 × A", "12.3", "4.57 kWh", "99.9 g", "measured &lt;here&gt;"]
    assert cells[2] == ["fine-tuning", "<code>c</code>", "", "unknown", "unknown", "unknown", "nothing was recorded"]
    assert [cells[3][0], *cells[3][3:]] == ["all that is known", "24.7", "9.13 kWh", "0.2 kg", ""]
    assert "total" in lines[3]
    assert cost_table([]) == ""
    assert cost_in_words(COST) == "12.3 device-hours (1 × A), 4.57 kWh, 99.9 g CO2e: measured <here>"


def test_two_tasks_of_one_target_are_never_mixed():
    rows = [_row(1.0, 0.0, 0.1, target="text", task=task, **more) for task in ("ctc", "other") for more in (
        {}, {"axis": "gender", "cell": "f"})]  # fmt: skip
    evaluation = pd.DataFrame(rows)
    cells = [{"task": task, "target": "text", "share": 1.0, "arm": "scratch"} for task in ("ctc", "other")]
    curves = [cell | {"step": step, "error": 0.5, "seconds": 1.0} for cell in cells for step in (1, 2)]
    steps = [cell | {"best_scratch_error": 0.5, "best_error": 0.5, "steps": 1, "seconds": 1.0} for cell in cells]
    page = render(replace(_data(evaluation), curves=pd.DataFrame(curves), steps=pd.DataFrame(steps)))
    for words in ("error on held-out speakers by share", "100 % of the labels: error on dev speakers"):
        for task in ("ctc", "other"):
            assert re.search(rf"text \({task}\)[^<]*{words}", page)
    facts = ModelFacts(title="T", corpus="c", version="v", facts=[], licences=[])
    card = model_card(facts, evaluation.iloc[:0], evaluation)
    for task in ("ctc", "other"):
        assert f"| text ({task}) | gender f |" in card


def test_the_accuracies_of_any_objective_are_drawn():
    events = [
        {"kind": "metrics", "step": step, "hours_heard": step, "values": {"loss": 3.0, "next_accuracy": 0.1}}
        for step in (1, 2)
    ]
    page = render(replace(_data(pd.DataFrame([_row(1.0, 0.0, 0.1)])), events=events))
    assert "next accuracy, by hours of audio heard" in page
    assert "masked accuracy" not in page


def test_defects_that_no_measure_looks_for_show_no_score():
    row = {"planted": 4, "found": 3, "flagged": 6, "precision": 0.5, "recall": 0.75, "missed": "a.wav"}
    unseen = {"planted": 2, "found": 0, "flagged": 0, "precision": np.nan, "recall": np.nan, "missed": ""}
    scores = pd.DataFrame(
        [{"defect": "clipped", "looked_for": True} | row, {"defect": "odd", "looked_for": False} | unseen]
    )
    (_, seen, faint) = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in truth_table(scores).split("<tr")[1:]]
    assert seen == ["<code>clipped</code>", "4", "3", "75 %", "6", "50 %", "a.wav"]
    assert faint[1] == "2"
    assert faint[-1] == "not looked for"
    assert len(set(faint[2:6])) == 1
    assert truth_table(pd.DataFrame()) == ""


def test_the_card_shows_the_layer_that_dev_chose_only():
    probe = pd.DataFrame([_row(0.1, 0.1, 0.2, layer=layer, chosen=layer == 7, baseline_layer=5) for layer in (6, 7)])
    facts = ModelFacts(title="T", corpus="c", version="v", facts=[], licences=[{"licence": "MIT", "clips": 3}])
    card = model_card(facts, probe, pd.DataFrame([_row(0.1, 0.1, 0.2)]))
    assert "| 7, 5 |" in card
    assert "| 6, 5 |" not in card
    assert "+10.0 … +20.0" in card
