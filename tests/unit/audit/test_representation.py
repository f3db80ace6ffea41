from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from allears.audit.concentration import effective_groups, effective_size, gini, top_share
from allears.audit.groups import (
    MOST_CELLS,
    OTHERS,
    UNKNOWN,
    Axis,
    clusters_of,
    coded,
    crossed,
    in_order_of,
    reason_masks,
)
from allears.audit.representation import AXIS_COLUMNS, COLUMNS
from allears.audit.resampling import interval, resampled_sums
from allears.audit.targets import Target, js_divergence, kl_divergence
from allears.errors import AllearsError
from tests.audit_people import audited
from tests.reference.shares import slow_divergences, slow_draws, slow_gini


def represented(rows: list[dict[str, Any]], **changes: Any) -> pd.DataFrame:
    return audited(rows, **changes).represented()[0]


def cell(table: pd.DataFrame, axis: str, name: str) -> pd.Series:
    return table[(table["axis"] == axis) & (table["cell"] == name)].iloc[0]


def test_every_axis_adds_up_and_unknown_is_a_group() -> None:
    rows = [{"gender": "female", "speaker": "a"}] * 3 + [{"gender": None, "speaker": "b", "end_s": 4.0}]
    table = represented(rows)
    assert list(table.columns) == list(COLUMNS)
    for _, part in table.groupby("axis"):
        assert part["clips"].sum() == 4
        assert part["hours"].sum() == pytest.approx(10 / 3600)
        assert part["share"].sum() == pytest.approx(1)
    unknown = cell(table, "gender", "unknown")
    assert (unknown["clips"], unknown["speakers"], unknown["share"]) == (1, 1, 0.4)
    assert cell(table, "gender", "female")["known_share"] == 1
    assert np.isnan(unknown["known_share"])


def test_crossed_axes() -> None:
    rows = [
        {"gender": "female", "age": "23"}, {"gender": "male", "age": "27"}, {"gender": "male", "age": "teens"},
        {"gender": None, "age": "31"},
    ]  # fmt: skip
    table = represented(rows)
    crossed_rows = table[table["axis"] == "gender × age"]
    expected = {"female × 20–29", "male × 20–29", "male × teens", "unknown × 30–39"}
    assert set(crossed_rows["cell"]) == expected
    assert "accent × gender" not in set(table["axis"])  # no accent is known


AXIS_VALUES = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", None])), min_size=1)


@settings(deadline=None)
@given(AXIS_VALUES, st.integers(0, 3))
def test_codes_count_as_pandas_does(values: list[tuple[str | None, str | None]], seed: int) -> None:
    table = pd.DataFrame(values, columns=["one", "other"]).astype("string")
    table["speaker"] = np.random.default_rng(seed).integers(0, 3, len(table))
    both = crossed(*(Axis(name, *coded(table[name])) for name in ("one", "other")))
    names = table["one"].fillna("unknown") + " × " + table["other"].fillna("unknown")
    assert [both.cells[code] for code in both.cell_N] == names.tolist()
    assert sorted(set(names)) == sorted(both.cells)
    counted = dict(zip(both.cells, both.distinct(table["speaker"].to_numpy(dtype=np.int64)), strict=True))
    assert counted == table.groupby(names)["speaker"].nunique().to_dict()


def test_gaps_need_ten_speakers_and_a_hundred_clips() -> None:
    many = [{"gender": "female", "speaker": f"f{i % 10}"} for i in range(100)]
    few_speakers = [{"gender": "male", "speaker": f"m{i % 9}"} for i in range(100)]
    few_clips = [{"gender": "other", "speaker": f"o{i % 10}"} for i in range(99)]
    table = represented(many + few_speakers + few_clips)
    assert cell(table, "gender", "female")["assessable"]
    assert not cell(table, "gender", "male")["assessable"]
    assert not cell(table, "gender", "other")["assessable"]


def test_dominance_needs_over_half_and_twice_the_next() -> None:
    def dominant(counts: dict[str | None, int]) -> list[str]:
        table = represented([{"accent": name} for name, count in counts.items() for _ in range(count)])
        return table.loc[(table["axis"] == "accent") & table["dominant"], "cell"].tolist()

    assert dominant({"us": 6, "gb": 3}) == ["us"]
    assert dominant({"us": 6, "gb": 4}) == []
    assert dominant({"us": 4, "gb": 2, "in": 2}) == []
    assert dominant({None: 6, "gb": 2}) == []


def test_what_the_policy_keeps_and_what_is_selected_are_told_apart() -> None:
    rows = [{"gender": "female", "speaker": f"p{i}"} for i in range(4)]
    values = [{"snr_db": 0.0}, {}, {}, {}]
    table = represented(rows, values=values, curation={"budget_hours": 1.5 * 2 / 3600})
    female = cell(table, "gender", "female")
    assert (female["kept_clips"], female["keep_rate"]) == (3, 0.75)
    assert female["train_hours"] == pytest.approx(2 / 3600)


def people(seed: int, count: int = 60) -> list[dict[str, Any]]:
    """Clips of twelve speakers of three genders, unknown among them."""
    rng = np.random.default_rng(seed)
    gender = {speaker: ["female", "male", None][speaker % 3] for speaker in range(12)}
    speakers = rng.integers(0, 12, count)
    return [{"speaker": f"p{who}", "gender": gender[int(who)], "end_s": float(rng.uniform(1, 9))} for who in speakers]


def test_intervals_are_those_of_drawing_speakers_one_by_one() -> None:
    rows = people(0)
    table, axes = audited(
        rows, targets={"gender": Target("census", {"female": 0.6, "male": 0.3, "other": 0.1})},
        representation={"bootstrap_samples": 4_000},
    ).represented()  # fmt: skip

    def statistic(chosen: list[int]) -> list[float]:
        hours = {
            name: sum(rows[i]["end_s"] for i in chosen if rows[i]["gender"] == name) for name in ("female", "male")
        }
        known = sum(hours.values())
        total = sum(rows[i]["end_s"] for i in chosen)
        p = [hours["female"] / known, hours["male"] / known, 0.0]
        entropy = -sum(share * np.log(share) for share in p if share > 0)
        return [hours["female"] / total, np.exp(entropy), slow_divergences(p, [0.6, 0.3, 0.1])[1]]

    low, high = slow_draws(statistic, [row["speaker"] for row in rows], 4_000, seed=2)
    female, gender = cell(table, "gender", "female"), axes.set_index("axis").loc["gender"]
    found = [(female["share_low"], female["share_high"]), (gender["effective_low"], gender["effective_high"])]
    found.append((gender["js_low"], gender["js_high"]))
    np.testing.assert_allclose(found, np.transpose([low, high]), atol=0.02)
    point = statistic(list(range(len(rows))))
    np.testing.assert_allclose([female["share"], gender["effective_groups"], gender["js"]], point)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = sparse.csc_array(np.random.default_rng(0).gamma(1, size=(7, 3)))
    whole = resampled_sums(sums, 50, seed=1)
    monkeypatch.setattr("allears.audit.resampling._BLOCK", 20)
    np.testing.assert_array_equal(resampled_sums(sums, 50, seed=1), whole)


def test_samples_without_a_value_do_not_count() -> None:
    low, high = interval(np.array([[1.0, np.nan], [np.nan, np.nan], [1.0, np.nan]]))
    assert (low[0], high[0]) == (1, 1)
    assert np.isnan([low[1], high[1]]).all()


def test_a_target_names_what_the_corpus_lacks_and_unknown_is_no_part_of_it() -> None:
    rows = [{"gender": "female", "speaker": "a"}] * 3 + [{"gender": None, "speaker": "b"}] * 5
    target = Target("census.csv", {"female": 0.5, "male": 0.5})
    table, axes = audited(rows, targets={"gender": target}).represented()
    male, gender = cell(table, "gender", "male"), axes.set_index("axis").loc["gender"]
    assert (male["clips"], male["hours"], male["target_share"]) == (0, 0, 0.5)
    assert not male["assessable"]
    assert np.isnan(cell(table, "gender", "unknown")["target_share"])
    kl, js = slow_divergences([1, 0], [0.5, 0.5])
    assert (gender["kl"], gender["js"]) == (pytest.approx(kl), pytest.approx(js))
    assert gender["target"] == "census.csv"
    assert list(axes.columns) == list(AXIS_COLUMNS)
    assert axes.set_index("axis").loc["accent", "effective_groups"] == 0


def test_a_group_that_the_target_has_not_makes_kl_infinite_and_js_finite() -> None:
    rows = [{"gender": "female"}, {"gender": "male"}]
    whole = audited(rows, targets={"gender": Target("t", {"female": 1.0})})
    gender = whole.represented()[1].set_index("axis").loc["gender"]
    assert np.isinf(gender["kl"])
    assert gender["js"] == pytest.approx(slow_divergences([0.5, 0.5], [1, 0])[1])
    assert whole.summary()["axes"]["gender"]["kl"] is None  # JSON has no infinity


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=6), st.lists(st.floats(0.01, 10), min_size=6, max_size=6))
def test_divergences_are_those_of_the_slow_loops(hours: list[float], weights: list[float]) -> None:
    p = np.array(hours) / sum(hours)
    q = np.array(weights[: len(hours)]) / sum(weights[: len(hours)])
    kl, js = slow_divergences(p, q)
    assert kl_divergence(np.array(hours), q) == pytest.approx(kl, abs=1e-9)
    assert js_divergence(np.array([hours, hours]), q) == pytest.approx([js, js], abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_gini_is_the_mean_difference_of_all_pairs(values: list[float]) -> None:
    assert gini(np.array(values)) == pytest.approx(slow_gini(values), abs=1e-9)


def test_shares_of_concentration() -> None:
    assert effective_groups(np.array([0.25] * 4)) == pytest.approx(4)
    assert effective_groups(np.array([1.0, 0.0])) == pytest.approx(1)
    assert gini(np.zeros(0)) == 0
    assert top_share(np.array([1.0] * 99 + [99.0])) == pytest.approx(0.5)
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([1.0, 0.0])) == pytest.approx(1)
    assert effective_size(np.zeros(3)) == 0


def test_who_has_the_hours_of_a_group() -> None:
    rows = [{"gender": "female", "speaker": "a", "end_s": 9.0}, {"gender": "female", "speaker": "b", "end_s": 1.0}]
    female = cell(represented(rows), "gender", "female")
    assert female["top_speaker_share"] == pytest.approx(0.9)
    assert female["gini"] == pytest.approx(slow_gini([9, 1]))


def test_tables_in_another_order_are_put_in_order_and_of_another_run_refused() -> None:
    whole = audited([{}, {}, {}])
    turned = whole.selection.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(in_order_of(whole.manifest, turned, "it"), whole.selection)
    with pytest.raises(AllearsError, match="it has 2 clips and the manifest 3"):
        in_order_of(whole.manifest, whole.selection.iloc[:2], "it")
    with pytest.raises(AllearsError, match="different runs"):
        in_order_of(whole.manifest, whole.selection.assign(clip=["c0", "c1", "x"]), "it")


def test_reasons_become_masks() -> None:
    masks = reason_masks(pd.Series(["", "b,a", "a", None], dtype="string"))
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "a": [False, True, True, False],
        "b": [False, True, False, False],
    }


def test_clusters_are_the_groups_of_the_manifest() -> None:
    clusters = clusters_of(audited([{"speaker": "a"}, {"speaker": "b"}, {"speaker": "a"}]).manifest)
    assert (clusters.count, clusters.cluster_N.tolist()) == (2, [0, 1, 0])


def test_small_cells_of_an_axis_with_very_many_are_one() -> None:
    rows = [{"label": f"l{i}"} for i in range(1_200)] + [{"label": "often", "speaker": "a"}] * 2 + [{"label": None}]
    table, facts = audited(rows).represented()
    labels = table[table["axis"] == "label"]
    others = cell(table, "label", OTHERS)
    assert len(labels) == MOST_CELLS + 1
    assert labels["clips"].sum() == len(rows)
    assert labels["hours"].sum() == pytest.approx(len(rows) * 2 / 3600)
    assert cell(table, "label", "often")["clips"] == 2  # the large ones stay
    assert cell(table, "label", UNKNOWN)["clips"] == 1  # and the unknown
    assert others["clips"] == 1_200 - (MOST_CELLS - 2)
    assert facts.set_index("axis").loc["label", "cells"] == MOST_CELLS


def test_many_small_cells_together_dominate_nothing() -> None:
    rows = [{"label": f"l{i}"} for i in range(4 * MOST_CELLS)]
    table = represented(rows)
    assert cell(table, "label", OTHERS)["share"] > 0.5
    assert not table["dominant"].any()


def test_cells_that_a_target_names_are_never_lumped_together() -> None:
    rows = [{"label": f"l{i:04d}"} for i in range(1_200)]
    wanted = Target("census", {"l1199": 1.0})
    table, _ = audited(
        rows, targets={"label": wanted}, representation={"target": {"label": "census.csv"}, "bootstrap_samples": 100}
    ).represented()
    assert OTHERS not in set(table["cell"])
    assert cell(table, "label", "l1199")["target_share"] == 1
