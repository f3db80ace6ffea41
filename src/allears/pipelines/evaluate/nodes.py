"""Steps of `evaluate`."""

from __future__ import annotations

import pandas as pd

from allears.evaluation.breakdown import axis_cells, compare, mean_curves, steps_to_quality
from allears.params.evaluate import EvaluateParams
from allears.pipelines.evaluate import summary


def compare_arms(scores: pd.DataFrame, clips: pd.DataFrame, params: EvaluateParams) -> pd.DataFrame:
    """Gains of the pretrained model over each baseline at equal labels, overall and by group; printed as a table."""
    found = compare(scores, axis_cells(clips, params.axes))
    summary.show(found)
    return found


def measure_steps(scores: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each arm's mean curve, and the updates and seconds that it needs to be as good as from scratch ever gets."""
    means = mean_curves(scores, curves)
    return means, steps_to_quality(means)
