"""A comparison in words: what its row allows to say, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def verdict(row: Mapping[Any, Any]) -> str:
    """Of the pretrained model against the row's baseline."""
    if not row["assessable"]:
        return f"not assessable: {row['clips']} clips of {row['speakers']} speakers"
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "unclear"


def gain_text(row: Mapping[Any, Any]) -> str:
    """`+8.5 [+4.7, +12.7]`: the gain with its 95 % interval, in points."""
    return f"{100 * row['gain']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def name_targets(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the task beside each target that several tasks learn: `text (ctc)`.

    What is grouped or shown by target alone would mix them. A table without tasks (a probe's) comes back as it is.
    """
    if table.empty or "task" not in table:
        return table
    shared = table.groupby("target")["task"].transform("nunique") > 1
    return table.assign(target=table["target"].mask(shared, table["target"] + " (" + table["task"] + ")"))
