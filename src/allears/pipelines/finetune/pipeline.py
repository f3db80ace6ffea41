"""Wiring of `finetune`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.finetune import nodes


def create_pipeline() -> Pipeline:
    """Encoder and labels → scores and curves of every arm, and the best task model."""
    finetune, paths = "params:finetune", "params:paths"
    return Pipeline(
        [
            node(
                nodes.plan_finetuning,
                ["clips", "shard_set", "encoder", finetune, "params:audit", paths],
                "finetune_plan",
                name="plan_finetuning",
            ),
            node(
                nodes.run_finetuning,
                ["finetune_plan", "shard_set", finetune, paths],
                ["finetune_scores", "finetune_curves", "finetune_run"],
                name="run_finetuning",
            ),
            node(nodes.export_task_model, ["finetune_run"], "task_model", name="export_task_model"),
        ],
        tags=["finetune"],
    )
