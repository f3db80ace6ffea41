"""Wiring of `report`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.report import nodes


def create_pipeline() -> Pipeline:
    """Results → one page and a model card."""
    return Pipeline(
        [
            node(nodes.draw_gains, ["probe", "evaluation"], ["probe_chart", "finetune_chart"], name="draw_gains"),
            node(
                nodes.write_model_card,
                ["pretrained", "encoder", "probe", "evaluation", "finetune_run", "params:paths"],
                "model_card",
                name="write_model_card",
            ),
            node(
                nodes.write_report_page,
                [
                    "manifest", "pretrained", "encoder", "probe", "probe_comparison", "evaluation",
                    "encoder_comparison", "mean_curves", "steps_to_quality", "finetune_run", "truth_scores",
                    "params:paths",
                ],
                "report_page",
                name="write_report_page",
            ),
        ],
        tags=["report"],
    )  # fmt: skip
