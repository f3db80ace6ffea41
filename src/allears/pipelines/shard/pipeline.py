"""Wiring of `shard`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.shard import nodes


def create_pipeline() -> Pipeline:
    """Recordings → tars and index → table of clips."""
    return Pipeline(
        [
            node(
                nodes.write_shards, ["manifest", "verdicts", "params:shard", "params:paths", "audit_passed"],
                "shard_set", name="write_shards",
            ),
            node(nodes.tabulate_clips, ["manifest", "selection", "shard_set"], "clips", name="tabulate_clips"),
        ],
        tags=["shard"],
    )  # fmt: skip
