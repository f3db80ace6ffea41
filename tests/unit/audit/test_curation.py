from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from allears.audit.curation import effective_clips, select
from allears.audit.duplicates import find
from allears.audit.policy import judge
from allears.errors import CorpusError
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, manifest, measures


def selection(rows: list[dict[str, Any]], values: list[dict[str, Any]], **changes: Any) -> pd.DataFrame:
    params = AuditParams.model_validate(changes)
    table = manifest(rows)
    measured = measures(table, values)
    verdicts = judge(table, measured, find(table, measured, params.duplicates), params, STANDARD)
    return select(table, verdicts, params, "zoo")


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
    table = selection(rows, [{}] * 9, weights={"axis": "language", "alpha": 0.5, "max_repeat": 10})
    weight = table["weight"].to_numpy()
    p = np.array([0.75, 0.25]) ** 0.5
    wanted = p / p.sum()
    np.testing.assert_allclose([weight[:6].sum() / 8, weight[6:8].sum() / 8], wanted)
    assert weight[:8].sum() == pytest.approx(8)
    assert weight[8] == 1.0  # held out: as it is


def test_alpha_one_changes_nothing_and_repeats_are_capped() -> None:
    rows = [{"language": "en"}] * 20 + [{"language": None}]
    flat = selection(rows, [{}] * 21, weights={"axis": "language", "alpha": 1.0})
    np.testing.assert_allclose(flat["weight"], 1.0)
    capped = selection(rows, [{}] * 21, weights={"axis": "language", "alpha": 0.0, "max_repeat": 3})
    assert capped["weight"].iloc[20] == 3.0


def test_effective_clips() -> None:
    assert effective_clips(np.ones(7)) == pytest.approx(7)
    assert effective_clips(np.array([1.0, 0.0])) == pytest.approx(1)
    assert effective_clips(np.zeros(3)) == 0


def test_no_clip_left_says_why_and_what_to_do() -> None:
    with pytest.raises(CorpusError, match=r"no clip is left .*noisy 2.*keep_despite=\[noisy\]"):
        selection([{}, {}], [{"snr_db": 0.0}] * 2)


def test_only_undeclared_licences_say_what_to_type() -> None:
    with pytest.raises(CorpusError, match=r"licence_unknown 1.*corpus=zoo,ingest\.licence="):
        selection([{"licence": "unknown"}], [{}])


def test_nothing_to_train_on_is_an_error_too() -> None:
    with pytest.raises(CorpusError, match="no clip of the train split is left"):
        selection([{}, {"split": "test"}], [{"snr_db": 0.0}, {}])
