"""The card of a model: what it is, what it heard, what it learned, whom it serves worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.evaluation.wording import name_targets
from allears.reporting.markdown import percent, render_markdown, signed_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the head of a card says. `facts`: (name, value) pairs; `others`: corpora that were heard with `corpus`,
    `before`: those that the runs before heard, which this one extends. `base`: the public encoder that was continued,
    in words; `unknown`: the sentence on what that was trained on.
    """

    title: str
    corpus: str
    version: str
    facts: Sequence[tuple[str, str]]
    licences: Sequence[dict[str, Any]]
    others: Sequence[str] = ()
    before: Sequence[str] = ()
    base: str = ""
    unknown: str = ""


def model_card(facts: ModelFacts, probe: pd.DataFrame, evaluation: pd.DataFrame) -> str:
    """Markdown after Mitchell et al. (arXiv 1810.03993).

    `probe`: the summary by layer (only the rows whose layer was chosen on dev are shown); `evaluation`: comparisons as
    of `evaluation.breakdown.compare`. Either may be empty.
    """
    evaluation = name_targets(evaluation)
    overall = evaluation[evaluation["axis"] == "all"]
    groups = evaluation[
        (evaluation["axis"] != "all")
        & (evaluation["baseline"] == "scratch")
        & (evaluation["share"] == evaluation["share"].max())
    ]
    values = {
        "title": facts.title,
        "corpus": facts.corpus,
        "version": facts.version,
        "facts": list(facts.facts),
        "licences": list(facts.licences),
        "others": list(facts.others),
        "before": list(facts.before),
        "base": facts.base,
        "unknown": facts.unknown,
        "probe": readable(probe[probe["chosen"]] if len(probe) else probe),
        "comparison": readable(overall),
        "groups": [
            row | ({} if row["assessable"] else {"gain": "", "interval": "not assessable"}) for row in readable(groups)
        ],
    }
    return render_markdown("model_card", values)


def readable(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows whose rates are percentages and whose interval is one cell (`+1.2 … +3.4`, in points)."""
    rows = []
    for row in table.to_dict("records"):
        shown: dict[str, Any] = {str(name): value for name, value in row.items()}
        shown["share"] = percent(row["share"])
        shown["gain"] = signed_percent(row["gain"])
        shown["interval"] = f"{signed_percent(row['low'])} … {signed_percent(row['high'])}"
        for name in ("baseline_error", "pretrained_error"):
            shown[name] = percent(row[name])
        rows.append(shown)
    return rows
