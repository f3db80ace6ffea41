"""Steps of `evaluate`."""

from __future__ import annotations

import pandas as pd

from allears.evaluation.breakdown import axis_cells, compare, steps_to_quality
from allears.params.evaluate import EvaluateParams


def compare_arms(scores: pd.DataFrame, clips: pd.DataFrame, params: EvaluateParams) -> pd.DataFrame:
    """Gains of the pretrained model over each baseline at equal labels, overall and by group, with intervals."""
    return compare(scores, axis_cells(clips, params.axes))


def measure_steps(scores: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Updates and seconds that each arm needs to be as good as from scratch ever gets."""
    return steps_to_quality(scores, curves)
