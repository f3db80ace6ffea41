"""How much the fault tests do: a little in `make test`, all of it in `make test-faults` (ALLEARS_LONG=1)."""

import os

import pytest

LONG = os.environ.get("ALLEARS_LONG") == "1"
only_long = pytest.mark.skipif(not LONG, reason="long: make test-faults")
ROWS: list[str] = []  # of tables in Markdown; the long version prints them at its end


def report(*cells: object) -> None:
    """Add a row to the tables."""
    ROWS.append(f"| {' | '.join(str(cell) for cell in cells)} |")
