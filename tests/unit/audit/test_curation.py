from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.concentration import effective_size
from allears.audit.curation import check_some_left
from allears.audit.curation_table import STAGES, before_and_after
from allears.audit.groups import hours_of
from allears.audit.ranking import quality_score
from allears.audit.targets import Target
from allears.errors import CorpusError
from tests.audit_people import audited
from tests.audit_tables import manifest, measures


def selection(rows: list[dict[str, Any]], values: list[dict[str, Any]], **changes: Any) -> pd.DataFrame:
    return audited(rows, values, **changes).selection


def check(rows: list[dict[str, Any]], values: list[dict[str, Any]], **changes: Any) -> None:
    done = audited(rows, values, **changes)
    check_some_left(done.manifest, done.verdicts, done.selection, done.params, "zoo")


def test_what_is_kept_is_heard_once() -> None:
    table = selection([{}, {}, {"licence": "unknown"}], [{}, {"snr_db": 0.0}, {}])
    assert table["keep"].tolist() == [True, False, False]
    assert table["weight"].tolist() == [1.0, 0.0, 0.0]


def test_a_soft_reason_can_be_tolerated_a_hard_one_cannot() -> None:
    rows = [{}, {}, {"licence": "unknown"}]
    values = [{"snr_db": 0.0}, {"snr_db": 0.0, "clipped_share": 0.5}, {"snr_db": 0.0}]
    assert selection(rows, values, keep_despite=["noisy"])["keep"].tolist() == [True, False, False]


def test_balancing_makes_hours_of_groups_p_to_the_alpha() -> None:
    rows = [{"language": "en"}] * 6 + [{"language": "sw"}] * 2 + [{"language": "sw", "split": "test"}]
    table = selection(rows, [{}] * 9, curation={"axis": "language", "alpha": 0.5, "max_repeat": 10})
    weight = table["weight"].to_numpy()
    p = np.array([0.75, 0.25]) ** 0.5
    wanted = p / p.sum()
    np.testing.assert_allclose([weight[:6].sum() / 8, weight[6:8].sum() / 8], wanted)
    assert weight[:8].sum() == pytest.approx(8)
    assert weight[8] == 1.0  # held out: as it is


def test_alpha_one_changes_nothing_and_repeats_are_capped() -> None:
    rows = [{"language": "en"}] * 20 + [{"language": "sw"}]
    flat = selection(rows, [{}] * 21, curation={"axis": "language", "alpha": 1.0})
    np.testing.assert_allclose(flat["weight"], 1.0)
    capped = selection(rows, [{}] * 21, curation={"axis": "language", "alpha": 0.0, "max_repeat": 3})
    assert capped["weight"].iloc[20] == 3.0


def test_no_clip_left_says_why_and_what_to_do() -> None:
    with pytest.raises(CorpusError, match=r"no clip is left .*noisy 2.*keep_despite=\[noisy\]"):
        check([{}, {}], [{"snr_db": 0.0}] * 2, suspect_share=1)
    with pytest.raises(CorpusError, match=r"keep_despite=\[(noisy,clipped|clipped,noisy)\]'; then"):
        check([{}, {}], [{"snr_db": 0.0}, {"clipped_share": 0.5}], suspect_share=1)


def test_only_undeclared_licences_say_what_to_type() -> None:
    with pytest.raises(CorpusError, match=r"licence_unknown 1.*corpus=zoo,ingest\.licence="):
        check([{"licence": "GPL-3.0-only"}], [{}])
    with pytest.raises(CorpusError, match=r"licence_unknown 1.*says 'unknown'.*audit\.licences\.unknown=allow"):
        check([{"licence": "unknown"}], [{}])


def test_nothing_to_train_on_is_an_error_too() -> None:
    with pytest.raises(CorpusError, match="no clip of the train split is left"):
        check([{}, {"split": "test"}], [{"snr_db": 0.0}, {}])


def test_a_speaker_keeps_the_best_clips_up_to_the_cap() -> None:
    rows = [{"speaker": "a"}] * 4 + [{"speaker": "b"}] + [{"speaker": "a", "split": "test"}]
    values = [{"snr_db": snr} for snr in (20.0, 40.0, 30.0, 15.5, 16.0, 50.0)]
    rows[5] |= {"speaker": "t"}
    table = audited(rows, values, curation={"speaker_max_hours": 4.5 / 3600}).selection
    assert table["keep"].tolist() == [False, True, True, False, True, True]
    assert table["reason"].tolist() == ["speaker_cap", "", "", "speaker_cap", "", ""]
    assert (table["weight"] == table["keep"].astype(float)).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.2, 0.9), st.floats(0.1, 1), st.sampled_from(["census", "uniform", None]))
def test_the_choice_keeps_to_budget_and_caps_and_is_nearer_to_the_target_than_a_proportional_one(
    seed: int, part: float, cap: float, aim: str | None
) -> None:
    rng = np.random.default_rng(seed)
    names = np.array(["en", "en", "en", "sw", "fi", None], dtype=object)
    rows = [
        {"speaker": f"p{i % 15}", "language": names[(i % 15) % 6], "end_s": float(rng.uniform(1, 3)),
         "split": "train" if i % 15 else "test"}
        for i in range(120)
    ]  # fmt: skip
    total = sum(row["end_s"] for row in rows if row["split"] == "train") / 3600
    budget, cap = part * total, cap * total / 5
    shares = {"census": {"en": 0.2, "sw": 0.5, "fi": 0.3}, "uniform": None}
    target = Target(aim, shares[aim]) if aim else None
    asked = {"axis": "language", "alpha": 0.3, "budget_hours": budget, "speaker_max_hours": cap, "max_repeat": 2}
    whole = audited(rows, target=target, curation=asked)
    table = whole.manifest.assign(hours=hours_of(whole.manifest), **whole.selection.drop(columns="clip"))
    assert ((table["reason"] == "") == table["keep"]).all()
    assert ((table["weight"] > 0) == table["keep"]).all()
    assert table.loc[table["split"] == "test", "weight"].eq(1).all()
    train = table[table["split"] == "train"]
    chosen = train[train["keep"]]
    assert chosen["hours"].sum() <= budget * (1 + 1e-6)
    assert (chosen.groupby("speaker")["hours"].sum() <= cap * (1 + 1e-6)).all()
    assert (chosen["weight"] <= 2).all()
    available = train[train["reason"] != "speaker_cap"].groupby("language")["hours"].sum()
    if aim is None:
        wanted = (available / available.sum()) ** 0.3
    else:
        wanted = pd.Series(shares[aim] or dict.fromkeys(available.index, 1.0))
    if available.sum() > budget:
        ours = chosen.groupby("language")["hours"].sum().reindex(available.index, fill_value=0)
        one_clip_each = 4 * train["hours"].max() / budget
        assert tv(ours, wanted) <= tv(available, wanted) + one_clip_each


def tv(hours: pd.Series, wanted: pd.Series) -> float:
    return float((hours / hours.sum() - wanted / wanted.sum()).abs().sum() / 2)


def test_a_group_that_the_target_has_not_is_left_out_and_unknown_keeps_its_share() -> None:
    rows = [{"language": name} for name in ["en"] * 4 + ["sw"] * 2 + ["fi"] * 2 + [None] * 2]
    whole = audited(rows, target=Target("t", {"en": 0.5, "sw": 0.5}), curation={"axis": "language", "target": "t"})
    assert whole.selection["reason"].tolist() == [""] * 6 + ["off_target"] * 2 + [""] * 2
    np.testing.assert_allclose(whole.selection["weight"], [0.75] * 4 + [1.5] * 2 + [0] * 2 + [1] * 2)


def test_equal_clips_are_chosen_whatever_the_order_of_the_list() -> None:
    rows = [{"speaker": f"p{i}", "clip": f"c{i}"} for i in range(30)]
    turned = rows[::-1]
    chosen = [
        set(audited(each, curation={"budget_hours": 20 / 3600}).selection.query("keep")["clip"])
        for each in (rows, turned)
    ]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 10
    assert chosen[0] != {row["clip"] for row in rows[:10]}


def test_quality_is_the_mean_of_ranks_and_noise_says_nothing_of_sounds() -> None:
    rows = [{}, {}, {"text": None, "language": None, "speaker": None, "group": "x"}]
    values = [{"snr_db": 40.0, "bandwidth_hz": 8e3}, {"snr_db": 20.0, "bandwidth_hz": None}, {"snr_db": 0.0}]
    score = quality_score(measures(manifest(rows), values))
    silence, sounds = 0.75, 0.5  # two equal ones of two: (1 + 2) / 2 / 2
    clipping = 2 / 3  # three equal ones of three
    np.testing.assert_allclose(score, np.array([
        (1 + 1 + silence + clipping) / 4, (0.5 + 0.5 + silence + clipping) / 4, (3 * sounds + clipping) / 4,
    ]))  # fmt: skip


def test_a_budget_that_no_clip_fits_is_a_sentence() -> None:
    with pytest.raises(
        CorpusError, match=r"no training clip is left after the curation \(audit\.curation\.budget_hours="
    ):
        check([{}, {}], [{}, {}], curation={"budget_hours": 1e-6})


def test_before_and_after_add_up() -> None:
    rows = [{"language": "en" if i < 30 else "sw", "speaker": f"p{i % 6}"} for i in range(40)]
    rows += [{"language": "fi", "speaker": "t", "split": "test"}]
    values = [{"snr_db": 5.0} if i < 4 else {} for i in range(41)]
    whole = audited(rows, values, curation={"axis": "language", "alpha": 0.0, "speaker_max_hours": 10 / 3600})
    table = before_and_after(whole.manifest, whole.selection, whole.params)
    assert set(table["stage"]) == set(STAGES)
    assert "fi" not in set(table["cell"].dropna())
    language = table[table["axis"] == "language"]
    for stage, clips in (("before", 40), ("policy", 36), ("curation", 30)):
        part = language[language["stage"] == stage]
        all_of_it, cells = part[part["cell"].isna()].iloc[0], part[part["cell"].notna()]
        assert all_of_it["clips"] == clips == cells["clips"].sum()
        assert all_of_it["hours"] == pytest.approx(cells["hours"].sum())
        assert cells["share"].sum() == pytest.approx(1)
    last = language[(language["stage"] == "curation") & language["cell"].isna()].iloc[0]
    assert last["effective_groups"] == pytest.approx(2)
    assert last["epoch_hours"] == pytest.approx(last["hours"])
    assert last["effective_clips"] == pytest.approx(effective_size(whole.selection["weight"].to_numpy()[:40]))
    assert whole.summary()["left_out"] == {"soft": 4, "hard": 0, "curation": 6}
