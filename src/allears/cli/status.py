"""`allears status`: corpora, versions, what is stale, the last runs."""

from __future__ import annotations

import time
from pathlib import Path

from rich.table import Table

from allears.cli.stages import STAGES, look
from allears.corpus.settings import known_corpora
from allears.corpus.version import SHOWN
from allears.params.corpus import SAMPLE
from allears.reporting.screen import plain
from allears.tracking import recent_runs, recover

RUNS = 8


def show(data: Path) -> None:
    """Print it all."""
    console = plain()
    table = Table("corpus", "version", "clips", "hours", *STAGES, title="Corpora", title_justify="left")
    for corpus in [SAMPLE, *known_corpora(data)]:
        state = look(data, corpus)
        hours = "–" if state.hours is None else f"{state.hours:.2f}"
        clips = "–" if state.clips is None else str(state.clips)
        table.add_row(corpus, (state.version or "not yet")[:SHOWN], clips, hours, *state.stages.values())
    console.print(table)
    runs = data / ".tracking"
    left = recover(runs)
    table = Table("started", "run", "corpus", "status", "in MLflow", title="Last runs", title_justify="left")
    for run in recent_runs(runs, RUNS):
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_unix_s))
        table.add_row(started, run.name, run.corpus, run.status, "yes" if run.sent else "waits")
    console.print(table if table.rows else "No runs yet: type  kedro run --pipeline pretrain")
    if left:
        console.print(f"{len(left)} run(s) wait to be sent to MLflow: the next kedro run sends them.")
