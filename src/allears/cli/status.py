"""`allears status`: corpora, versions, what is stale, the last runs."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from allears.cli.stages import CorpusState, look
from allears.corpus.settings import known_corpora
from allears.corpus.version import SHOWN
from allears.params.corpus import SAMPLE
from allears.reporting.html import written
from allears.reporting.screen import plain
from allears.tracking import recent_runs, recover

RUNS = 8


def show(data: Path, console: Console | None = None) -> None:
    """Print it all; long names and lists are folded, so that it fits 80 columns."""
    console = console or plain()
    table = _table(
        "Corpora", "corpus", "version", "kept / clips", "audio", "up to date", right=("kept / clips", "audio")
    )
    for corpus in [SAMPLE, *known_corpora(data)]:
        state = look(data, corpus)
        clips, kept = (written(count, "count") for count in (state.clips, state.kept))
        version, audio = (state.version or "not yet")[:SHOWN], written(state.hours, "hours")
        table.add_row(corpus, version, f"{kept} / {clips}", audio, in_words(state))
    console.print(table)
    runs = data / ".tracking"
    left = recover(runs)
    table = _table("Last runs", "started", "run", "corpus", "status", "in MLflow")
    for run in recent_runs(runs, RUNS):
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_unix_s))
        sent = "set aside" if run.aside else "yes" if run.sent else "waits"
        table.add_row(started, run.name, run.corpus, run.status, sent)
    console.print(table if table.rows else "No runs yet: type  kedro run --pipeline pretrain")
    if left:
        console.print(f"{len(left)} run(s) wait to be sent to MLflow: the next kedro run sends them.")


def in_words(state: CorpusState) -> str:
    """The stages that are made, and which of them are stale: 'audit, shard; stale: pretrain'."""
    fresh, stale = (
        [stage for stage, found in state.stages.items() if found == kind] for kind in ("up to date", "stale")
    )
    said = [", ".join(fresh)] if fresh else []
    return "; ".join([*said, f"stale: {', '.join(stale)}"] if stale else said) or "–"


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        wide = name in ("corpus", "run", "up to date")
        table.add_column(
            name, justify="right" if name in right else "left", no_wrap=not wide, overflow="fold",
            min_width=10 if wide else None,
        )  # fmt: skip
    return table
