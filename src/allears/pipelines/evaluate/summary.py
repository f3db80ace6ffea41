"""The comparison of `evaluate` as a table for people at a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from allears.evaluation.wording import gain_text, verdict

NAMES = {"scratch": "scratch", "random_frozen": "random frozen", "majority": "most frequent"}


def show(evaluation: pd.DataFrame) -> None:
    """Print the comparisons over all clips."""
    table = Table(
        title="Fine-tuning: errors on test speakers, pretrained against baselines",
        title_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    for name in ("target", "labels", "baseline", "error", "pretrained", "gain [95 %]"):
        left = name in ("target", "baseline")
        table.add_column(name, no_wrap=True, justify="left" if left else "right")
    table.add_column("", overflow="fold")
    for row in evaluation[evaluation["axis"] == "all"].to_dict("records"):
        table.add_row(*_cells(row))
    Console(highlight=False).print(table)


def _cells(row: dict[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["target"]),
        f"{100 * row['share']:.3g} %",
        NAMES[row["baseline"]],
        f"{100 * row['baseline_error']:.1f} %",
        f"{100 * row['pretrained_error']:.1f} %",
        gain_text(row),
        verdict(row),
    )
