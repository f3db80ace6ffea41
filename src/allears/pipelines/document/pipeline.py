"""Wiring of `document`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.document import nodes


def create_pipeline() -> Pipeline:
    """Tables of the audit, shards if there are any, and people's answers → Croissant and datasheet.

    A step of its own, because `shard` comes after `audit`, and the first run's documents name the shards too.
    """
    return Pipeline(
        [
            node(nodes.read_answers, "params:paths", "datasheet_answers", name="read_answers"),
            node(
                nodes.write_documents,
                [
                    "sources", "manifest", "verdicts", "representation", "audit_summary", "datasheet_answers",
                    "shard_set", "params:audit", "params:policies", "params:paths",
                ],
                ["croissant", "datasheet"],
                name="write_documents",
            ),
        ],
        tags=["document"],
    )  # fmt: skip
