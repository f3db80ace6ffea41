from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from allears.audit.duplicates import find
from allears.audit.policy import judge
from allears.audit.representation import (
    COLUMNS,
    axis_facts,
    effective_groups,
    gini,
    represent,
    share_intervals,
    top_share,
)
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, manifest, measures


def represented(rows: list[dict[str, Any]], noisy: set[int] = frozenset(), **changes: Any) -> pd.DataFrame:
    params = AuditParams.model_validate({"representation": {"bootstrap_samples": 100}} | changes)
    table = manifest(rows)
    measured = measures(table, [{"snr_db": 0.0 if i in noisy else 30.0} for i in range(len(rows))])
    verdicts = judge(table, measured, find(table, measured, params.duplicates), params, STANDARD)
    selection = pd.DataFrame({"clip": table["clip"], "keep": verdicts["verdict"] == "keep", "weight": 1.0})
    return represent(table, verdicts, selection, params)


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


def test_crossed_axes() -> None:
    rows = [
        {"gender": "female", "age": "23"}, {"gender": "male", "age": "27"}, {"gender": "male", "age": "teens"},
        {"gender": None, "age": "31"},
    ]  # fmt: skip
    table = represented(rows)
    crossed = table[table["axis"] == "gender × age"]
    expected = {"female × 20–29", "male × 20–29", "male × teens", "unknown × 30–39"}
    assert set(crossed["cell"]) == expected
    assert "accent × gender" not in set(table["axis"])  # no accent is known


def test_gaps_need_ten_speakers_and_a_hundred_clips() -> None:
    many = [{"gender": "female", "speaker": f"f{i % 10}"} for i in range(100)]
    few_speakers = [{"gender": "male", "speaker": f"m{i % 9}"} for i in range(100)]
    few_clips = [{"gender": "other", "speaker": f"o{i % 10}"} for i in range(99)]
    table = represented(many + few_speakers + few_clips)
    assert cell(table, "gender", "female")["assessable"]
    assert not cell(table, "gender", "male")["assessable"]
    assert not cell(table, "gender", "other")["assessable"]
    assert np.isnan(cell(table, "gender", "male")["keep_ratio"])


def test_filter_disparity() -> None:
    rows = [{"accent": "a" if i < 120 else "b", "speaker": f"p{i % 12}-{i < 120}"} for i in range(240)]
    table = represented(rows, noisy=set(range(120, 150)))
    lost = cell(table, "accent", "b")
    assert lost["keep_rate"] == pytest.approx(0.75)
    assert lost["keep_ratio"] == pytest.approx(0.75)
    assert lost["disparity"]
    assert not cell(table, "accent", "a")["disparity"]
    assert axis_facts(table)["accent"]["disparity"] == ["b"]


def test_dominance_needs_over_half_and_twice_the_next() -> None:
    def dominant(counts: dict[str | None, int]) -> list[str]:
        table = represented([{"accent": name} for name, count in counts.items() for _ in range(count)])
        return table.loc[(table["axis"] == "accent") & table["dominant"], "cell"].tolist()

    assert dominant({"us": 6, "gb": 3}) == ["us"]
    assert dominant({"us": 6, "gb": 4}) == []
    assert dominant({"us": 4, "gb": 2, "in": 2}) == []
    assert dominant({None: 6, "gb": 2}) == []


def test_share_intervals_are_those_of_drawing_clusters_one_by_one() -> None:
    hours = np.random.default_rng(0).gamma(2, size=(30, 3))
    low, high = share_intervals(hours, 4_000, seed=1)
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(4_000):
        drawn = hours[rng.integers(0, 30, 30)].sum(axis=0)
        shares.append(drawn / drawn.sum())
    np.testing.assert_allclose(low, np.quantile(shares, 0.025, axis=0), atol=0.01)
    np.testing.assert_allclose(high, np.quantile(shares, 0.975, axis=0), atol=0.01)


def test_shares_of_concentration() -> None:
    assert effective_groups(np.array([0.25] * 4)) == pytest.approx(4)
    assert effective_groups(np.array([1.0, 0.0])) == pytest.approx(1)
    assert gini(np.ones(5)) == pytest.approx(0)
    assert gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)
    assert gini(np.zeros(0)) == 0
    assert top_share(np.array([1.0] * 99 + [99.0])) == pytest.approx(0.5)
