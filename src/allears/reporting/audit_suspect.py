"""The section of the audit's page about rules that are set aside: why, for which clips, and three of them to hear."""

from __future__ import annotations

from typing import Any

import pandas as pd

from allears.audit.exhibits import SET_ASIDE
from allears.audit.findings import rule_in_words
from allears.audit.suspect import CORPUS
from allears.reporting.audit_listen import cards
from allears.reporting.html import Column, table

_COLUMNS = (
    Column(key="axis", title="axis"), Column(key="cell", title="group"),
    Column(key="judged", title="clips judged", kind="count"), Column(key="clips", title="flagged", kind="count"),
    Column(key="share", title="share", kind="percent"),
)  # fmt: skip


def rules(
    summary: dict[str, Any], exhibits: pd.DataFrame, clips: pd.DataFrame, max_s: float
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a record per rule that is set aside: its name, words, groups and the cards of its clips to hear."""
    shown = cards(exhibits[exhibits["place"] == SET_ASIDE], clips, max_s)
    return [
        {
            "name": code,
            "line": rule_in_words(facts, summary["total"]["clips"]),
            "meaning": facts["means"],
            "groups": None if facts["scopes"][0]["axis"] == CORPUS else table(facts["scopes"], _COLUMNS),
            "more": facts["more_scopes"],
            "cards": shown.loc[shown["group"] == code, "card"].tolist(),
        }
        for code, facts in summary["set_aside"].items()
    ]
