"""Wiring of `audit`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.audit import nodes


def create_pipeline() -> Pipeline:
    """Manifest → measures, verdicts, representation, selection, page."""
    audit, paths = "params:audit", "params:paths"
    return Pipeline(
        [
            node(nodes.measure_clips, ["manifest", audit, paths], "measures", name="measure_clips"),
            node(nodes.find_duplicates, ["manifest", "measures", audit], "duplicates", name="find_duplicates"),
            node(
                nodes.judge_clips, ["manifest", "measures", "duplicates", audit, paths], "verdicts",
                name="judge_clips",
            ),
            node(nodes.select_clips, ["manifest", "verdicts", audit, paths], "selection", name="select_clips"),
            node(
                nodes.represent, ["manifest", "verdicts", "selection", audit], "representation", name="represent"
            ),
            node(
                nodes.score_truth, ["manifest", "verdicts", "representation", paths], "truth_scores",
                name="score_truth",
            ),
            node(
                nodes.summarise,
                ["manifest", "quarantine", "measures", "verdicts", "selection", "representation", audit, paths],
                "audit_summary",
                name="summarise_audit",
            ),
            node(
                nodes.render_audit_page,
                [
                    "manifest", "measures", "verdicts", "duplicates", "representation", "truth_scores",
                    "audit_summary", audit,
                ],
                "audit_page",
                name="render_audit_page",
            ),
        ],
        tags=["audit"],
    )  # fmt: skip
