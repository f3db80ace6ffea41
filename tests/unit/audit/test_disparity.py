from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from allears.audit.disparity import ANY, COLUMNS
from tests.audit_people import Audited, audited
from tests.reference.shares import slow_draws

NOISY, GOOD = {"snr_db": 0.0}, {}


def row(table: pd.DataFrame, cell: str, reason: str, axis: str = "accent") -> pd.Series:
    return table[(table["axis"] == axis) & (table["cell"] == cell) & (table["reason"] == reason)].iloc[0]


def two_accents(noisy: int, speakers: int = 12, **changes: Any) -> Audited:
    """120 clips each of the accents a and b; the first `noisy` ones of b are noisy."""
    rows = [{"accent": "a" if i < 120 else "b", "speaker": f"p{i % speakers}-{i < 120}"} for i in range(240)]
    values = [NOISY if 120 <= i < 120 + noisy else GOOD for i in range(240)]
    return audited(rows, values, **{"suspect_share": 1} | changes)


def test_a_filter_that_takes_one_group_away_is_warned_of() -> None:
    whole = two_accents(60)
    table = whole.disparity()
    assert list(table.columns) == list(COLUMNS)
    lost, best = row(table, "b", "noisy"), row(table, "a", "noisy")
    assert (lost["removed"], lost["clips"], lost["keep_rate"], lost["keep_ratio"]) == (60, 120, 0.5, 0.5)
    assert (lost["best"], lost["best_keep_rate"]) == ("a", 1.0)
    assert lost["warned"]
    assert (best["keep_ratio"], best["low"], best["high"], best["warned"]) == (1, 1, 1, False)
    assert row(table, "b", ANY)["removed"] == 60
    assert "warn: Accent: 'noisy' removes more of 'b' (50%) than of 'a' (0%)" in whole.findings()


def test_each_filter_is_judged_by_itself_and_a_clip_counts_under_each_of_its_reasons() -> None:
    rows = [{"accent": "ab"[i % 2], "speaker": f"p{i % 24}"} for i in range(240)]
    values = [{"snr_db": 0.0 if i < 40 else 30.0, "clipped_share": 0.5 if i < 20 else 0.0} for i in range(240)]
    rows[200] |= {"licence": "CC-BY-NC-4.0"}
    table = audited(rows, values).disparity()
    counts = table[table["axis"] == "accent"].groupby("reason")["removed"].sum().to_dict()
    assert counts == {"noisy": 40, "clipped": 20, "licence_denied": 1, ANY: 41}


def test_what_is_kept_in_spite_of_a_reason_is_not_removed_and_neither_is_what_curation_leaves_out() -> None:
    kept = two_accents(60, keep_despite=["noisy"], curation={"budget_hours": 0.01})
    assert (~kept.selection["keep"]).sum() > 0
    table = kept.disparity()
    assert set(table["reason"]) == {ANY}
    assert table["removed"].sum() == 0


def test_the_interval_is_that_of_drawing_speakers_one_by_one() -> None:
    rng = np.random.default_rng(0)
    speakers = [f"p{who}" for who in rng.integers(0, 30, 600)]
    rows = [{"accent": "ab"[int(who[1:]) % 2], "speaker": who} for who in speakers]
    bad = [rng.random() < (0.05 if one["accent"] == "a" else 0.02 * int(one["speaker"][1:])) for one in rows]
    table = audited(
        rows, [NOISY if each else GOOD for each in bad], representation={"bootstrap_samples": 4_000}
    ).disparity()

    def statistic(chosen: list[int]) -> list[float]:
        kept = {name: np.mean([not bad[i] for i in chosen if rows[i]["accent"] == name]) for name in "ab"}
        return [kept["b"] / kept["a"]]

    low, high = slow_draws(statistic, speakers, 4_000, seed=3)
    lost = row(table, "b", "noisy")
    assert lost["keep_ratio"] == pytest.approx(statistic(list(range(600)))[0])
    np.testing.assert_allclose([lost["low"], lost["high"]], [low[0], high[0]], atol=0.01)


def test_one_speaker_with_all_the_noise_is_possible_not_certain() -> None:
    rows = [{"accent": "a" if i < 200 else "b", "speaker": f"p{i // 20}"} for i in range(400)]
    values = [NOISY if 200 <= i < 250 else GOOD for i in range(400)]  # two and a half of ten speakers
    whole = audited(rows, values, suspect_share=1)
    lost = row(whole.disparity(), "b", "noisy")
    assert lost["keep_ratio"] == pytest.approx(0.75)
    assert lost["high"] > 0.8
    assert not lost["warned"]
    assert "note: Accent: 'noisy' possibly removes more of 'b' (25%)" in whole.findings()


def test_what_cannot_be_assessed_has_no_ratio_and_no_warning() -> None:
    table = two_accents(60, speakers=9).disparity()
    accents = table[table["axis"] == "accent"]
    assert not accents["assessable"].any()
    assert accents[["keep_ratio", "low", "high"]].isna().all(axis=None)
    assert not accents["warned"].any()


def test_nothing_known_of_anybody_gives_an_empty_table() -> None:
    table = audited([{"language": None}]).disparity()
    assert table.empty
    assert list(table.columns) == list(COLUMNS)


def test_a_filter_that_is_set_aside_takes_nobody_away() -> None:
    """60 of 240 clips are noisy: more than a fifth of the corpus."""
    table = two_accents(60, suspect_share=0.2).disparity()
    assert set(table["reason"]) == {ANY}
    assert not table["removed"].any()
