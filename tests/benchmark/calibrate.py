"""How well the audit finds what was planted: `python tests/benchmark/calibrate.py` (`make calibrate`).

Clips of (1) a larger generated sample that are not spoiled there and (2) speechocean762 (through ALLEARS_REAL_DATA)
that the audit keeps, for nobody knows what is wrong with the others, are written anew, 200 and more of each kind are
spoiled, six in ten of all get an offset, rumble, another level or padding that nobody should mind (`dirt.py`), and the
audit of that corpus is scored against it.
Promise: precision ≥ 0.98 and recall ≥ 0.95 for every defect of signal and every kind of copy. Corpus-level defects are
planted in the sample by itself (a leaking speaker, a dominant accent).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmark.dirt import KINDS, calm_noises, kept, plant
from tests.project import kedro, make_project

PRECISION, RECALL = 0.98, 0.95
REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
LEAST_S = 1.2


def main() -> None:
    """Print a table for each corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=200, help="how many of each defect")
    parser.add_argument("--minutes", type=int, default=130, help="of the generated sample")
    parser.add_argument("--seed", type=int, default=1, help="of the draw: which clips get which defect and trait")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    given = parser.parse_args()
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings: noise comes from its esc10")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(given.keep or Path(temporary) / "project")
        missed = calibrate(project, "sample", f"ingest.sample.minutes={given.minutes}", given.each, given.seed)
        real = f"corpus=so762,ingest.path={REAL / 'speechocean762'},ingest.licence=LicenseRef-speechocean762"
        missed += calibrate(project, "so762", real, given.each, given.seed)
    print(f"\nPromised: precision ≥ {PRECISION}, recall ≥ {RECALL}. Missed: {', '.join(missed) or 'none'}")


def calibrate(project: Path, corpus: str, params: str, each: int, seed: int) -> list[str]:
    """Audit `corpus`, spoil what it keeps, audit that; print the scores and return what missed the promise."""
    run(project, params)
    if corpus == "sample":
        print("\n## What is planted in the sample by itself, corpus-level defects among it\n")
        show(scores(project, "sample"))
    clips = kept(project, corpus, LEAST_S)
    noises = calm_noises(REAL / "esc10")
    folder = project / "dirty" / corpus
    audio, truth = plant(clips, folder, dict.fromkeys(KINDS, each), noises=noises, seed=seed)
    raw = project / "data/01_raw" / f"{corpus}-dirty"
    raw.mkdir(parents=True)
    shutil.copyfile(truth, raw / "truth.csv")
    run(project, f"corpus={corpus}-dirty,ingest.path={audio},ingest.licence=CC0-1.0,ingest.label=label")
    table = scores(project, f"{corpus}-dirty")
    print(f"\n## {corpus}: {len(clips):,} clean clips, {each} of each defect planted\n")
    show(table)
    judged = table[table["looked_for"]]
    low = judged[(judged["precision"] < PRECISION) | (judged["recall"] < RECALL)]
    return [f"{row.defect} on {corpus} ({row.precision:.3f}, {row.recall:.3f})" for row in low.itertuples()]


def run(project: Path, params: str) -> None:
    """Ingest and audit; what went wrong is shown."""
    done = kedro(project, "run", "--pipelines", "ingest,audit", "--params", params, timeout_s=3600.0)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def scores(project: Path, corpus: str) -> pd.DataFrame:
    """What the audit wrote of its own score."""
    return pd.read_parquet(project / "data/03_primary" / corpus / "truth_scores.parquet")


def show(table: pd.DataFrame) -> None:
    """As markdown."""
    print("| defect | planted | flagged | found | precision | recall |\n|---|---|---|---|---|---|")
    for row in table.itertuples():
        looked = [f"{row.precision:.3f}", f"{row.recall:.3f}"] if row.looked_for else ["not looked for", ""]
        print(f"| {row.defect} | {row.planted} | {row.flagged} | {row.found} | {' | '.join(looked)} |")


if __name__ == "__main__":
    main()
