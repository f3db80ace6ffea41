"""Seconds and memory of the audit's tables at 100 thousand and a million clips, of few speakers and of very many.

Run `python tests/benchmark/bench_audit_tables.py`. The manifest and its measures are made, not decoded; the
pages and the search for copies are not timed. Each size runs in a process of its own, so that its peak is its own.
Curation is asked for everything: a target, speaker caps and a budget. CPU seconds of the process beside those on the
clock, which a busy machine stretches.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audit import curation, curation_table, disparity, policy, representation, split_comparison, summary
from allears.audit.targets import Target
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD
from tests.synthetic_corpus import synthetic_corpus

SIZES = ((100_000, 10_000), (1_000_000, 10_000), (1_000_000, 1_000_000))  # clips, speakers to draw from
UNIFORM = Target("uniform", None)


def main() -> None:
    """One table a size, each in its own process."""
    if len(sys.argv) == 3:
        _run(*map(int, sys.argv[1:]))
        return
    for size in SIZES:
        subprocess.run([sys.executable, __file__, *map(str, size)], check=True)


def _run(clips: int, speakers: int) -> None:
    params = AuditParams.model_validate(
        {
            "representation": {"target": {"gender": "uniform"}},
            "curation": {"axis": "language", "speaker_max_hours": 0.5, "budget_hours": clips / 1000},
        }
    )
    manifest, measures = synthetic_corpus(clips, speakers)
    none = pd.DataFrame({"clip": ["none"], "kind": ["pcm"], "duplicate_of": ["none"]}, dtype="string")
    done: dict[str, Any] = {}
    steps: dict[str, Callable[[], Any]] = {
        "judge": lambda: policy.judge(manifest, measures, none, params, STANDARD),
        "select": lambda: curation.select(manifest, measures, done["judge"], UNIFORM, params),
        "represent": lambda: representation.represent(manifest, done["select"], {"gender": UNIFORM}, params),
        "disparity": lambda: disparity.disparity(manifest, done["judge"], done["select"], params),
        "compare splits": lambda: split_comparison.compare(manifest, measures, done["select"]),
        "curation table": lambda: curation_table.before_and_after(manifest, done["select"], params),
        "summarise": lambda: summary.summarise(_tables(manifest, done), params, STANDARD, "big", "v"),
    }
    print(f"{clips:,} clips of {manifest['speaker'].nunique():,} speakers; made: {_peak_gib():.2f} GiB")
    print(f"{'':<16} {'s':>7} {'CPU s':>7} {'peak GiB':>9}")
    first, first_cpu = time.perf_counter(), time.process_time()
    for name, step in steps.items():
        start, start_cpu = time.perf_counter(), time.process_time()
        done[name] = step()
        _say(name, start, start_cpu)
    _say("all", first, first_cpu)
    print()


def _tables(manifest: pd.DataFrame, done: dict[str, Any]) -> summary.Tables:
    quarantine = pd.DataFrame({"reason": []})
    return summary.Tables(
        manifest, quarantine, done["judge"], done["select"], *done["represent"], done["disparity"],
        *done["compare splits"],
    )  # fmt: skip


def _say(name: str, start: float, start_cpu: float) -> None:
    took, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"{name:<16} {took:7.1f} {cpu:7.1f} {_peak_gib():9.2f}", flush=True)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
