"""Wiring of `audit`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from allears.pipelines.audit import exhibit_nodes, nodes


def create_pipeline() -> Pipeline:
    """Manifest → measures, verdicts, selection, representation, disparity, page; then whether anything is left."""
    audit, policies, paths = "params:audit", "params:policies", "params:paths"
    return Pipeline(
        [
            node(nodes.measure_clips, ["manifest", audit, paths], "measures", name="measure_clips"),
            node(nodes.find_duplicates, ["manifest", "measures", audit, paths], "duplicates", name="find_duplicates"),
            node(nodes.read_overrides, ["manifest", paths], "overrides", name="read_overrides"),
            node(
                nodes.judge_clips, ["manifest", "measures", "duplicates", "overrides", policies, audit, paths],
                "verdicts", name="judge_clips",
            ),
            node(
                nodes.select_clips, ["manifest", "measures", "verdicts", audit], "selection", name="select_clips"
            ),
            node(
                nodes.represent, ["manifest", "selection", audit], ["representation", "representation_axes"],
                name="represent",
            ),
            node(
                nodes.find_disparity, ["manifest", "verdicts", "selection", audit], "disparity", name="find_disparity"
            ),
            node(
                nodes.compare_splits,
                ["manifest", "measures", "selection"],
                ["split_comparison", "split_differences"],
                name="compare_splits",
            ),
            node(
                nodes.tabulate_curation, ["manifest", "selection", audit], "curation_table", name="tabulate_curation"
            ),
            node(
                nodes.score_truth,
                ["manifest", "measures", "verdicts", "representation", policies, audit, paths],
                "truth_scores", name="score_truth",
            ),
            node(
                nodes.summarise,
                [
                    "manifest", "measures", "quarantine", "verdicts", "selection", "representation",
                    "representation_axes", "disparity", "split_comparison", "split_differences", "shipped_policies",
                    policies, audit, paths,
                ],
                "audit_summary",
                name="summarise_audit",
            ),
            *_pages(audit, policies, paths),
        ],
        tags=["audit"],
    )  # fmt: skip


def _pages(audit: str, policies: str, paths: str) -> list[Node]:
    """What people read, and hear."""
    return [
        node(
            exhibit_nodes.exhibit_clips,
            ["manifest", "measures", "verdicts", "duplicates", policies, audit, paths],
            "exhibits",
            name="exhibit_clips",
        ),
        node(
            nodes.render_audit_page,
            [
                "manifest", "measures", "verdicts", "duplicates", "representation", "disparity",
                "curation_table", "truth_scores", "exhibits", "audit_summary", "overrides", policies, audit,
            ],
            "audit_page",
            name="render_audit_page",
        ),
        node(
            nodes.check_selection,
            ["manifest", "verdicts", "selection", "audit_summary", "audit_page", audit, paths],
            "audit_passed",
            name="check_selection",
        ),
    ]  # fmt: skip
