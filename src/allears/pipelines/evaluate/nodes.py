"""Steps of `evaluate`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from allears.evaluation import breakdown
from allears.evaluation.comparisons import Least
from allears.evaluation.wording import name_targets
from allears.params.audit import AuditParams
from allears.params.evaluate import EvaluateParams
from allears.reporting.terminal import comparison_table, console, show_encoders


def compare_arms(scores: pd.DataFrame, clips: pd.DataFrame, params: EvaluateParams, audit: AuditParams) -> pd.DataFrame:
    """Gains of the pretrained model over each baseline at equal labels, overall and by group; printed as a table."""
    found = breakdown.compare(scores, breakdown.axis_cells(clips, params.axes), _least(audit))
    rows = name_targets(found[found["axis"] == "all"]).to_dict("records")
    console().print(comparison_table("Fine-tuning: errors on test speakers, pretrained against baselines", rows))
    return found


def compare_encoders(scores: pd.DataFrame, run: dict[str, Any], audit: AuditParams) -> pd.DataFrame:
    """Gains of this encoder over every other one that was fine-tuned alike (another objective, seed or budget)."""
    others = ((one["encoder"], pd.read_parquet(one["scores"])) for one in run["alike"])
    found = breakdown.compare_encoders(scores, others, _least(audit))
    show_encoders("Fine-tuning: this encoder against others that were fine-tuned alike", found)
    return found


def measure_steps(scores: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each arm's mean curve, and the updates and seconds that it needs to be as good as from scratch ever gets."""
    means = breakdown.mean_curves(scores, curves)
    return means, breakdown.steps_to_quality(means)


def _least(audit: AuditParams) -> Least:
    return Least(**audit.assessable.model_dump())
