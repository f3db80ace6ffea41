"""How well the audit found the planted defects, as the audit's page and the report show it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from allears.reporting.html import Column, table


def truth_table(scores: pd.DataFrame) -> Markup:
    """One row a planted defect; what no measure looks for says so. Empty where nothing was planted."""
    if scores.empty:
        return Markup()
    unseen = ~scores["looked_for"]
    rows = scores.assign(
        missed=scores["missed"].mask(unseen, "not looked for"),
        _class=np.where(unseen, "faint", ""),
        found=scores["found"].astype("Int64").mask(unseen),
        flagged=scores["flagged"].astype("Int64").mask(unseen),
    )
    return table(
        rows,
        (
            Column(key="defect", title="defect", kind="code"), Column(key="planted", title="planted", kind="count"),
            Column(key="found", title="found", kind="count"), Column(key="recall", title="recall", kind="percent"),
            Column(key="flagged", title="flagged", kind="count"),
            Column(key="precision", title="precision", kind="percent"),
            Column(key="missed", title="missed"),
        ),
    )  # fmt: skip
