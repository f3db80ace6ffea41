"""The report's page. Its first screen answers "did pretraining help?"; all else says how that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.evaluation.wording import name_targets
from allears.process.energy import Cost
from allears.reporting import report_sections as sections
from allears.reporting.costs import cost_table
from allears.reporting.html import page, written
from allears.reporting.truth import truth_table


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that the page shows: results of pretraining, fine-tuning and the audit.

    `pretrained`: the run on this corpus; `tuned`: provenance of the encoder that was fine-tuned, another corpus's
    perhaps; `events`: the lines of the pretraining's event log; `skipped`: sentences on what fine-tuning left out;
    `unknown`: the sentence on what a public base was trained on; `costs`: kind, name and cost of each training of the
    corpus.
    """

    corpus: str
    version: str
    pretrained: dict[str, Any]
    tuned: dict[str, Any]
    events: Sequence[dict[str, Any]]
    probe: pd.DataFrame
    probe_encoders: pd.DataFrame
    evaluation: pd.DataFrame
    encoders: pd.DataFrame
    curves: pd.DataFrame
    steps: pd.DataFrame
    truth_scores: pd.DataFrame
    skipped: Sequence[str] = ()
    unknown: str = ""
    costs: Sequence[tuple[str, str, Cost | None]] = ()


def render(data: ReportData) -> str:
    """The page as one HTML string that needs nothing else."""
    evaluation, encoders, steps, curves = map(name_targets, (data.evaluation, data.encoders, data.steps, data.curves))
    return page(
        "report.html",
        title=f"Report of {data.corpus}",
        corpus=data.corpus,
        version=data.version[:12],
        answer=answer(evaluation),
        cards=_cards(data.tuned),
        tuned=data.tuned,
        unknown=data.unknown,
        comparison=sections.comparison(evaluation),
        share_plots=sections.share_plots(evaluation),
        encoders=sections.encoders(encoders),
        skipped=list(data.skipped),
        groups=sections.groups(evaluation),
        steps=sections.steps(steps),
        curve_plots=sections.curve_plots(curves),
        probe=sections.probe(data.probe),
        probe_encoders=sections.encoders(data.probe_encoders),
        probe_plots=sections.probe_plots(data.probe),
        training=sections.training(data.pretrained),
        training_plots=sections.training_plots(data.events),
        cost=cost_table(data.costs),
        truth=truth_table(data.truth_scores),
    )


def answer(evaluation: pd.DataFrame) -> dict[str, str]:
    """Level (yes, care, no), headline and one sentence, from the comparisons with scratch over all clips."""
    against = evaluation[(evaluation["axis"] == "all") & (evaluation["baseline"] == "scratch")]
    if against.empty:
        return {
            "level": "care",
            "headline": "Not known yet.",
            "text": "Nothing was fine-tuned against a model from scratch at equal labels.",
        }
    text = " ".join(_sentence(row) for row in against.sort_values(["target", "share"]).to_dict("records"))
    against = against[against["assessable"].astype(bool)]
    if against.empty:
        return {"level": "care", "headline": "Not assessable: too few test speakers or clips.", "text": text}
    helped, hurt = against[against["low"] > 0], against[against["high"] < 0]
    if len(helped) == len(against):
        return {"level": "yes", "headline": "Yes, at every share of the labels.", "text": text}
    if len(helped):
        headline = f"Yes, in {len(helped)} of {len(against)} comparisons with scratch"
        headline += f"; it hurt in {len(hurt)}." if len(hurt) else "; the others show nothing either way."
        return {"level": "care" if len(hurt) else "yes", "headline": headline, "text": text}
    if len(hurt):
        headline = f"No: it hurt in {len(hurt)} of {len(against)} comparisons with scratch."
        return {"level": "no", "headline": headline, "text": text}
    return {"level": "care", "headline": "Not shown: every interval contains zero.", "text": text}


def _sentence(row: dict[Any, Any]) -> str:
    return (
        f"{row['target']}, {written(row['share'], 'percent')} of the labels: "
        f"error {100 * row['pretrained_error']:.1f} % pretrained, {100 * row['baseline_error']:.1f} % from scratch, "
        f"gain {100 * row['gain']:+.1f} points "
        f"(95\N{NO-BREAK SPACE}%: {100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        + ("." if row["assessable"] else f", not assessable with {row['clips']} clips of {row['speakers']} speakers.")
    )


def _cards(tuned: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": "corpus of the encoder", "value": str(tuned["corpus"])},
        {"name": "audio heard in pretraining", "value": written(tuned.get("hours_heard"), "hours")},
        {"name": "updates", "value": written(tuned.get("updates"), "count")},
        {"name": "objective", "value": written(tuned.get("objective"), "text")},
    ]
