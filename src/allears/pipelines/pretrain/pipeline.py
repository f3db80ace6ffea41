"""Wiring of `pretrain`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.pretrain import nodes, probe_nodes, unit_nodes


def create_pipeline() -> Pipeline:
    """Shards and selection → plan, targets, trained run, export, probe by layer, summary."""
    pretrain, paths = "params:pretrain", "params:paths"
    return Pipeline(
        [
            node(
                nodes.plan_pretraining,
                ["shard_set", "clips", "audit_summary", pretrain, "params:audit", paths],
                "pretrain_plan",
                name="plan_pretraining",
            ),
            node(
                nodes.prepare_targets, ["pretrain_plan", "shard_set", pretrain, paths], "targets",
                name="prepare_targets",
            ),
            node(
                nodes.train_encoder, ["pretrain_plan", "targets", "shard_set", pretrain, paths], "pretrained",
                name="train_encoder",
            ),
            node(
                nodes.export_encoder,
                ["pretrain_plan", "targets", "pretrained", "shard_set", "clips", pretrain, paths],
                "encoder",
                name="export_encoder",
            ),
            node(
                nodes.probe_encoder, ["encoder", "shard_set", "clips", pretrain, paths], "probe_scores",
                name="probe_encoder",
            ),
            node(
                probe_nodes.summarise_probe, ["probe_scores", "params:audit"], "probe", name="summarise_probe",
            ),
            node(
                unit_nodes.score_units,
                ["encoder", "targets", "pretrain_plan", "shard_set", "clips", pretrain, paths],
                "unit_scores",
                name="score_units",
            ),
            node(
                nodes.summarise_pretraining,
                ["audit_summary", "pretrain_plan", "pretrained", "encoder", "probe", paths],
                "pretrain_summary",
                name="summarise_pretraining",
            ),
            node(
                nodes.compare_probes,
                ["probe_scores", "encoder", "shard_set", "clips", pretrain, "params:audit", paths],
                "probe_comparison",
                name="compare_probes",
            ),
        ],
        tags=["pretrain"],
    )  # fmt: skip
