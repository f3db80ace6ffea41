"""What the audit's page says of texts: how many a model held against their audio, and which hardly anybody said."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from allears.reporting.html import Column, table

MAX_ROWS = 25
_FATES = {
    "yes": "judged",
    "known_speaker": "judged, by a model that has learned other clips of the speaker",
    "no_text": "not judged: no text",
    "trained_on": "not judged: the model was trained on the clip",
    "unknown_characters": "not judged: written in characters that the model does not know; another language?",
    "too_long": "not judged: too long for the model",
    "too_dense": "not judged: more text than anybody says in the time",
}
_FATE_COLUMNS = (
    Column(key="fate", title="text against audio"), Column(key="clips", title="clips", kind="count"),
    Column(key="share", title="of all clips", kind="percent"),
)  # fmt: skip
_DOUBTFUL_COLUMNS = (
    Column(key="text", title="text"), Column(key="clips", title="clips", kind="count"),
    Column(key="share", title="of clips with a text", kind="percent"),
    Column(key="groups", title="speakers*", kind="count"),
    Column(key="short_s", title="shortest tenth", kind="seconds"),
    Column(key="long_s", title="longest tenth", kind="seconds"),
)  # fmt: skip


def judged(measures: pd.DataFrame) -> Markup | None:
    """How many clips' texts a model has judged, and why the others were not; None where no model was named."""
    fates = measures["text_judged"].value_counts()
    if fates.empty:
        return None
    known = [fate for fate in _FATES if fate in fates] + [fate for fate in fates.index if fate not in _FATES]
    rows = [
        {
            "fate": _FATES.get(fate, f"not judged: {fate}"),
            "clips": fates[fate],
            "share": fates[fate] / len(measures),
        }
        for fate in known
    ]
    return table(rows, _FATE_COLUMNS)


def doubtful(summary: dict[str, Any]) -> Markup | None:
    """Texts of clips that are unlike in length; None where there are none."""
    rows = summary["doubtful_texts"][:MAX_ROWS]
    return table(rows, _DOUBTFUL_COLUMNS) if rows else None
