"""`allears status`: corpora, versions, what is stale, the last runs. Reads small files only."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from allears.corpus.settings import known_corpora
from allears.corpus.version import SHOWN
from allears.params.base import Paths
from allears.params.corpus import SAMPLE
from allears.tracking import recent_runs, recover

RUNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusState:
    """What lies in a corpus's folders. Hours are of the kept clips once it was audited. `stages`: name → 'up to
    date', 'stale' (made from another version of what comes before) or 'not yet'.
    """

    corpus: str
    version: str | None
    clips: int | None
    hours: float | None
    stages: dict[str, str]


def show(data: Path) -> None:
    """Print it all."""
    console = Console(highlight=False)
    table = Table(
        "corpus", "version", "clips", "hours", "audit", "shard", "pretrain", title="Corpora", title_justify="left"
    )
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


def look(data: Path, corpus: str) -> CorpusState:
    """The state of one corpus. Each product names the digest of what it was made from."""
    paths = Paths(corpus=corpus, data=data)
    manifest = _read(paths.intermediate / "manifest.json")
    audit = _read(paths.primary / "audit_summary.json")
    shards = _read(paths.shards / "shards.json")
    pretrained = _read(paths.models / "pretrained.json")
    version = str(manifest["digest"]) if manifest else None
    audited = (audit or {}).get("total", {})
    newest = _newest(paths.intermediate / "manifest")
    return CorpusState(
        corpus=corpus,
        version=version,
        clips=int(manifest["rows"]) if manifest else None,
        hours=float(audited["hours"]) if "hours" in audited else None,
        stages={
            "audit": _stage(audit, fresh=(audit or {}).get("version") == version),
            "shard": _stage(shards, fresh=_newest(paths.shards / "shards") >= newest),
            "pretrain": _stage(pretrained, fresh=str((shards or {}).get("digest")) in json.dumps(pretrained)),
        },
    )


def _stage(product: dict[str, Any] | None, *, fresh: bool) -> str:
    if product is None:
        return "not yet"
    return "up to date" if fresh else "stale"


def _newest(folder: Path) -> float:
    """When the newest file of a folder was written; 0 for an empty or missing one."""
    return max((path.stat().st_mtime for path in folder.glob("*") if path.is_file()), default=0.0)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
