"""The comparisons of `evaluate` as tables for people at a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from allears.evaluation.wording import gain_text, verdict

NAMES = {"scratch": "scratch", "random_frozen": "random frozen", "majority": "most frequent"}


def show(evaluation: pd.DataFrame) -> None:
    """Print the comparisons with the baselines, over all clips."""
    rows = evaluation[evaluation["axis"] == "all"].to_dict("records")
    _print("Fine-tuning: errors on test speakers, pretrained against baselines", "baseline", rows, NAMES)


def show_encoders(comparison: pd.DataFrame) -> None:
    """Print the comparisons with other encoders; nothing where there is none."""
    names = list(dict.fromkeys(comparison["baseline"]))
    short = {name: f"encoder {number}" for number, name in enumerate(names, start=1)}
    if names:
        _print("This encoder against others that were fine-tuned alike", "other", comparison.to_dict("records"), short)
        Console(highlight=False).print("\n".join(f"{number}: {name}" for name, number in short.items()))


def _print(title: str, other: str, rows: list[dict[Any, Any]], names: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("target", "labels", other, "error", "pretrained", "gain [95 %]"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("target", other) else "right")
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row, names))
    Console(highlight=False).print(table)


def _cells(row: dict[Any, Any], names: dict[str, str]) -> tuple[str, ...]:
    return (
        str(row["target"]),
        f"{100 * row['share']:.3g} %",
        names[row["baseline"]],
        f"{100 * row['baseline_error']:.1f} %",
        f"{100 * row['pretrained_error']:.1f} %",
        gain_text(row),
        verdict(row),
    )
