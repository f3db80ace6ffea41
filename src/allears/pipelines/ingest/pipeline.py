"""Wiring of `ingest`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.ingest import nodes


def create_pipeline() -> Pipeline:
    """Layout → one row a clip, digests and headers, quarantine."""
    return Pipeline(
        [
            node(nodes.collect_sources, ["corpus_settings", "params:paths", "params:ingest"], "sources"),
            node(nodes.read_layouts, ["sources", "params:paths", "params:ingest"], "listing"),
            node(nodes.probe_files, ["listing", "params:paths", "params:ingest"], "headers"),
            node(
                nodes.build_manifest,
                ["listing", "headers", "params:paths", "params:ingest"],
                ["manifest", "quarantine"],
            ),
        ],
        tags=["ingest"],
    )
