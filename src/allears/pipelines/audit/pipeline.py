"""Wiring of `audit`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from allears.pipelines.audit import document_nodes, nodes


def create_pipeline() -> Pipeline:
    """Manifest → measures, verdicts, representation, selection, page, documents."""
    audit, policies, paths = "params:audit", "params:policies", "params:paths"
    return Pipeline(
        [
            node(nodes.measure_clips, ["manifest", audit, paths], "measures", name="measure_clips"),
            node(nodes.find_duplicates, ["manifest", "measures", audit], "duplicates", name="find_duplicates"),
            node(nodes.read_overrides, ["manifest", paths], "overrides", name="read_overrides"),
            node(
                nodes.judge_clips, ["manifest", "measures", "duplicates", "overrides", policies, audit], "verdicts",
                name="judge_clips",
            ),
            node(nodes.select_clips, ["manifest", "verdicts", audit, paths], "selection", name="select_clips"),
            node(
                nodes.represent, ["manifest", "verdicts", "selection", audit], "representation", name="represent"
            ),
            node(
                nodes.score_truth, ["manifest", "verdicts", "representation", policies, audit, paths],
                "truth_scores", name="score_truth",
            ),
            node(
                nodes.summarise,
                [
                    "manifest", "quarantine", "measures", "verdicts", "selection", "representation", policies, audit,
                    paths,
                ],
                "audit_summary",
                name="summarise_audit",
            ),
            node(
                nodes.render_audit_page,
                [
                    "manifest", "measures", "verdicts", "duplicates", "representation", "truth_scores",
                    "audit_summary", "overrides", policies, audit,
                ],
                "audit_page",
                name="render_audit_page",
            ),
            node(document_nodes.read_answers, paths, "datasheet_answers", name="read_answers"),
            node(
                document_nodes.write_documents,
                [
                    "sources", "manifest", "verdicts", "representation", "audit_summary", "datasheet_answers", audit,
                    paths,
                ],
                ["croissant", "datasheet"],
                name="write_documents",
            ),
        ],
        tags=["audit"],
    )  # fmt: skip
