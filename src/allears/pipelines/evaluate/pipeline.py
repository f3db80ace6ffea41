"""Wiring of `evaluate`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.evaluate.nodes import compare_arms, compare_encoders, measure_steps


def create_pipeline() -> Pipeline:
    """Fine-tuning scores → comparisons with intervals."""
    return Pipeline(
        [
            node(
                compare_arms, ["finetune_scores", "clips", "params:evaluate", "params:audit"], "evaluation",
                name="compare_arms",
            ),
            node(
                compare_encoders, ["finetune_scores", "finetune_run", "params:audit"], "encoder_comparison",
                name="compare_encoders",
            ),
            node(
                measure_steps, ["finetune_scores", "finetune_curves"], ["mean_curves", "steps_to_quality"],
                name="measure_steps",
            ),
        ],
        tags=["evaluate"],
    )  # fmt: skip
