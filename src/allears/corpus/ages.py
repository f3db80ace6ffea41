"""Ages as corpora give them: numbers, or words of their own."""

from __future__ import annotations

import pandas as pd


def age_band(age: str | None) -> str | None:
    """'23' → '20–29'; what is not a number ('twenties') stays as it is; unknown stays unknown."""
    if age is None or pd.isna(age):
        return None
    try:
        decade = int(float(age)) // 10 * 10
    except (ValueError, OverflowError):  # inf
        return str(age)
    return f"{decade}–{decade + 9}"
