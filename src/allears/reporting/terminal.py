"""Comparisons as tables for people at a terminal: without borders, so that they survive a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from allears.evaluation.wording import gain_text, name_targets, verdict
from allears.reporting.screen import plain

NAMES = {"scratch": "scratch", "random_frozen": "random frozen", "majority": "most frequent", "random": "random"}
LOG_WIDTH = 120


def console() -> Console:
    """Where tables are printed: wide enough where nobody looks."""
    screen = plain()
    return screen if screen.is_terminal else plain(width=LOG_WIDTH)


def comparison_table(
    title: str, rows: Sequence[Mapping[Any, Any]], names: Mapping[str, str] = NAMES, *, other: str = "baseline"
) -> Table:
    """A row a comparison: target, labels, the other's error, the pretrained error, gain with its interval, verdict.

    Errors of a probe name the layer that dev speakers chose.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("target", "labels", other, "error", "pretrained", "gain [95 %]"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("target", other) else "right")
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(
            str(row["target"]),
            f"{100 * row['share']:.3g} %",
            names[row["baseline"]],
            _error(row, "baseline_error", "baseline_layer"),
            _error(row, "pretrained_error", "layer"),
            gain_text(row),
            verdict(row),
        )
    return table


def show_encoders(title: str, comparison: pd.DataFrame) -> None:
    """Print comparisons with other encoders, and what each is called; nothing where there is none."""
    names = list(dict.fromkeys(comparison["baseline"]))
    if not names:
        return
    short = {name: f"encoder {number}" for number, name in enumerate(names, start=1)}
    screen = console()
    screen.print(comparison_table(title, name_targets(comparison).to_dict("records"), short, other="other"))
    screen.print("\n".join(f"{number}: {name}" for name, number in short.items()))


def show_unit_scores(scores: pd.DataFrame, sampled: Sequence[int]) -> None:
    """Print what a language model of units does on held-out speakers, and units that it draws."""
    title = "Next unit on dev speakers: perplexity, and choices that are right (chance 50 %)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in (
        "language", "clips", "model", "trigram", "unigram", "gain over trigram, nats [95 %]", "own continuation",
        "true order", "by trigram",
    ):  # fmt: skip
        table.add_column(name, no_wrap=name == "language", justify="left" if name == "language" else "right")
    for row in scores.to_dict("records"):
        table.add_row(
            str(row["language"]), f"{row['clips']:,} of {row['speakers']}",
            *(f"{row[name]:.1f}" for name in ("perplexity", "trigram", "unigram")),
            f"{row['gain']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
            *(_share(row[name]) for name in ("continuation", "order", "trigram_order")),
        )  # fmt: skip
    screen = console()
    screen.print(table)
    screen.print(f"Drawn from it: {' '.join(map(str, sampled))}")


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.0f} %"


def _error(row: Mapping[Any, Any], error: str, layer: str) -> str:
    return f"{100 * row[error]:.1f} %" + (f", L{row[layer]}" if layer in row else "")
