"""Ages as corpora give them: numbers, or words of their own."""

from __future__ import annotations

import pandas as pd

_OLDEST = 120


def age_band(age: str | None) -> str | None:
    """'23' → '20–29'; what is not a number ('twenties') stays as it is; unknown stays unknown.

    A number that is nobody's age ('-1', a year of birth) says that it is unknown: it names no group of people.
    """
    if age is None or pd.isna(age):
        return None
    try:
        years = float(age)
    except ValueError:
        return str(age)
    if not 0 <= years <= _OLDEST:
        return None
    decade = int(years) // 10 * 10
    return f"{decade}–{decade + 9}"
