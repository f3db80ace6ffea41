from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from allears.audit import duplicates, exhibits, policy
from allears.audit.exhibits import BORDERLINE, REFERENCE, SET_ASIDE, choose
from allears.audit.groups import reason_masks
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, agree, manifest, measures

PARAMS = AuditParams.model_validate({"suspect_share": 1, "listen": {"per_reason": 3, "references": 4}})


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, ...]:
    """200 clips: noise around the cut-off, some clipped, three denied, two that do not decode, ten copies."""
    random = np.random.default_rng(0)
    rows = [{"licence": "CC-BY-NC-4.0" if i in (7, 8, 9) else "CC0-1.0"} for i in range(200)]
    values = [{"snr_db": float(snr), "clipped_share": 0.02 if i % 40 == 0 else 0.0} for i, snr in
              enumerate(random.normal(14, 6, 200))]  # fmt: skip
    for i in (20, 21):
        values[i] = dict.fromkeys(("snr_db", "decoded_duration_s", "pcm_sha256")) | {"failed_reason": "not_audio"}
    for i in range(100, 110):
        values[i]["pcm_sha256"] = f"pcmc{i - 50}"  # type: ignore[assignment]
    table = manifest(rows)
    measured = measures(table, values)
    found = duplicates.find(table, measured, PARAMS.duplicates, agree)
    return table, measured, policy.judge(table, measured, found, PARAMS, STANDARD), found


def test_worst_and_borderline_as_a_slow_search_finds_them(tables: tuple[pd.DataFrame, ...]) -> None:
    _, measured, verdicts, _ = tables
    chosen = choose(*tables, PARAMS, STANDARD)
    snr = dict(zip(measured["clip"], measured["snr_db"], strict=True))
    reasons = dict(zip(verdicts["clip"], verdicts["reasons"].str.split(","), strict=True))
    cut = STANDARD.root["noisy"].min or 0.0
    noisy = sorted((clip for clip in snr if "noisy" in reasons[clip]), key=lambda clip: snr[clip])
    near = sorted(
        (clip for clip in noisy[3:] if snr[clip] >= cut * (1 - BORDERLINE)), key=lambda clip: snr[clip], reverse=True
    )
    kept = sorted(
        (clip for clip in snr if reasons[clip] == [""] and cut <= snr[clip] <= cut * (1 + BORDERLINE)),
        key=lambda clip: snr[clip],
    )
    shown = {
        str(place): part.sort_values("rank")["clip"].tolist()
        for place, part in chosen[chosen["group"] == "noisy"].groupby("place")
    }
    assert shown == {"worst": noisy[:3], "just flagged": near[:3], "just kept": kept[:3]}
    assert (chosen.loc[chosen["group"] == "noisy", "cut"] == cut).all()


def test_copies_come_in_pairs_and_all_reasons_are_there(tables: tuple[pd.DataFrame, ...]) -> None:
    _, _, verdicts, found = tables
    chosen = choose(*tables, PARAMS, STANDARD)
    assert set(reason_masks(verdicts["reasons"])) | {REFERENCE} <= set(chosen["group"])
    original = dict(zip(found["clip"], found["duplicate_of"], strict=True))
    pairs = chosen[chosen["group"] == "pcm_duplicate"].groupby("rank")
    assert len(pairs) == 3
    for _, pair in pairs:
        by_place = pair.set_index("place")["clip"]
        assert original[by_place["left out"]] == by_place["stays"]
    assert set(chosen.loc[chosen["group"] == "undecodable", "clip"]) == {"c20", "c21"}


def test_the_choice_does_not_depend_on_the_order_of_rows(tables: tuple[pd.DataFrame, ...]) -> None:
    order = np.random.default_rng(1).permutation(200)
    mixed = [table.iloc[order] if len(table) == 200 else table.iloc[::-1] for table in tables]
    pd.testing.assert_frame_equal(choose(*tables, PARAMS, STANDARD), choose(*mixed, PARAMS, STANDARD))


@pytest.mark.parametrize("most", [0, 1, 5, 12, 300])
def test_the_budget_holds_and_is_shared_by_all_groups(tables: tuple[pd.DataFrame, ...], most: int) -> None:
    whole = choose(*tables, PARAMS, STANDARD)
    some = choose(
        *tables, PARAMS.model_copy(update={"listen": PARAMS.listen.model_copy(update={"max_clips": most})}), STANDARD
    )
    assert some["clip"].nunique() <= most
    assert len(some.merge(whole)) == len(some)
    if most == 12:
        assert set(some["group"]) == set(whole["group"])
    assert (some[some["group"] == "pcm_duplicate"].groupby("rank").size() == 2).all()


def test_a_faultless_corpus_has_references_only() -> None:
    table = manifest([{} for _ in range(5)])
    measured = measures(table)
    found = duplicates.find(table, measured, PARAMS.duplicates, agree)
    chosen = choose(table, measured, policy.judge(table, measured, found, PARAMS, STANDARD), found, PARAMS, STANDARD)
    assert set(chosen["group"]) == {REFERENCE}
    assert list(chosen.columns) == list(exhibits.COLUMNS)


def test_of_a_rule_that_is_set_aside_three_clips_are_heard_whatever_the_budget(
    tables: tuple[pd.DataFrame, ...],
) -> None:
    """More than half are noisy: the rule is set aside for the whole corpus."""
    table, measured, _, found = tables
    params = PARAMS.model_copy(
        update={"suspect_share": 0.2, "listen": PARAMS.listen.model_copy(update={"max_clips": 9})}
    )
    verdicts = policy.judge(table, measured, found, params, STANDARD)
    chosen = choose(table, measured, verdicts, found, params, STANDARD)
    shown = chosen[(chosen["group"] == "noisy") & (chosen["place"] == SET_ASIDE)].sort_values("rank")["clip"].tolist()
    snr = measured.set_index("clip")["snr_db"]
    noisy = snr[verdicts.set_index("clip")["set_aside"] == "noisy"].sort_values()
    assert shown == [noisy.index[0], noisy.index[round((len(noisy) - 1) / 2)], noisy.index[-1]]
    described = policy.describe_set_aside(table, measured, verdicts, params, STANDARD)
    assert described["noisy"]["examples"] == shown, "the summary names the same clips"
