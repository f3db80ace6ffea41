"""Wiring of `ingest`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.ingest import nodes


def create_pipeline() -> Pipeline:
    """Layout → one row a clip, digests and headers, quarantine."""
    return Pipeline(
        [
            node(
                nodes.look_at_sources, ["corpus_settings", "params:paths", "params:ingest"], "ingest_state",
                name="look_at_sources",
            ),
            node(
                nodes.collect_sources, ["corpus_settings", "params:paths", "ingest_state"], "sources",
                name="collect_sources",
            ),
            node(
                nodes.read_layouts, ["sources", "params:paths", "params:ingest", "ingest_state"], "listing",
                name="read_layouts",
            ),
            node(
                nodes.probe_files, ["listing", "params:paths", "params:ingest", "ingest_state"], "headers",
                name="probe_files",
            ),
            node(
                nodes.build_manifest,
                ["listing", "headers", "params:paths", "params:ingest", "ingest_state"],
                ["manifest", "quarantine"],
                name="build_manifest",
            ),
            node(
                nodes.note_ingested, ["listing", "quarantine", "params:paths", "ingest_state"], "ingest_noted",
                name="note_ingested",
            ),
        ],
        tags=["ingest"],
    )  # fmt: skip
