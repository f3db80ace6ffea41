"""Does curation pay? `python tests/benchmark/prove_curation.py` (`make prove-curation`), whichever way it comes out.

The sample and speechocean762 (through ALLEARS_REAL_DATA) get 30 % dirt in their training split (`dirt.py`; dev and test
stay clean). At an equal budget of updates an encoder is pretrained and fine-tuned on
- everything: no rule, copies in another encoding kept (files with the same bytes or samples never enter a shard),
- filtered: the standard policy,
- balanced: the same, and training hours balanced over groups,
and from scratch on each. Errors on the same clean test clips, 3 seeds of both trainings (an encoder each), over all and
for the group with most errors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.corpus.ages import age_band
from allears.evaluation.comparisons import Gain, gain
from tests.benchmark.dirt import KINDS, calm_noises, kept, plant
from tests.project import ROOT, kedro, make_project

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
SHARE = 0.3
RULE = "policies.everything.too_long"  # a policy has a rule at least
EVERYTHING = f"audit.policy=everything,{RULE}.measure=decoded_duration_s,{RULE}.max=600"
ARMS = {"everything": f"{EVERYTHING},audit.keep_despite=[reencoded_duplicate]", "filtered": "", "balanced": ""}
BALANCE = {"sample": "accent", "so762": "gender"}
FINETUNE = {
    "task": "ctc", "ctc_heads": ["conv"], "learning_rates": [0.003], "shares": [1.0], "arms": ["pretrained", "scratch"],
}  # fmt: skip


def main() -> None:
    """Print a table for each corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=600, help="of pretraining, and of each fine-tuning")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--corpora", nargs="+", default=["sample", "so762"])
    given = parser.parse_args()
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings: noise comes from its esc10")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "project"
        project = folder if (folder / "conf").exists() else budgeted(make_project(folder), given.updates)
        for corpus in given.corpora:
            prove(project, corpus, given.seeds)


def budgeted(project: Path, updates: int) -> Path:
    """The project with a configuration of its own, in which every training has the same budget."""
    (project / "conf").unlink()
    shutil.copytree(ROOT / "conf", project / "conf", ignore=shutil.ignore_patterns("local"))
    local = project / "conf/local/parameters_budget.yml"
    local.parent.mkdir()
    finetune = FINETUNE | {"updates": updates, "seeds": 1}
    local.write_text(json.dumps({"pretrain": {"updates": updates}, "finetune": finetune}))  # JSON is YAML too
    return project


def prove(project: Path, corpus: str, seeds: int) -> None:
    """Plant, train on each choice of clips, compare."""
    path, licence = REAL / "speechocean762", "LicenseRef-speechocean762"
    run(
        project,
        "ingest,audit",
        f"corpus=so762,ingest.path={path},ingest.licence={licence}" if corpus == "so762" else "",
    )
    clips = kept(project, corpus, 1.2)
    dirty = round(SHARE * int((clips["split"] == "train").sum()) / len(KINDS))
    noises = calm_noises(REAL / "esc10")
    audio, _ = plant(
        clips, project / "dirty" / corpus, dict.fromkeys(KINDS, dirty), noises=noises, seed=2, split="train"
    )
    scores: dict[str, pd.DataFrame] = {}
    heard: dict[str, int] = {}
    for arm, how in ARMS.items():
        name = f"{corpus}-{arm}"
        asked = [f"corpus={name}", f"ingest.path={audio}", "ingest.licence=CC0-1.0", "ingest.label=label", how]
        asked += [f"audit.curation.axis={BALANCE[corpus]},audit.curation.alpha=0.3"] if arm == "balanced" else []
        scores[arm] = pd.concat([scores_of(project, name, asked, seed) for seed in range(seeds)])
        table = pd.read_parquet(project / "data/05_model_input" / name / "clips.parquet")
        heard[arm] = int((table["keep"] & (table["split"] == "train")).sum())
    if heard["everything"] <= heard["filtered"]:
        raise SystemExit(f"the choices are not what they are called: training clips of each: {heard}")
    facts = clips.assign(name=clips["clip"], age=clips["age"].map(age_band))
    print(f"\n## {corpus}: {len(clips):,} clean clips, {dirty} of each of {len(KINDS)} kinds of dirt for training;")
    print(f"training clips: {', '.join(f'{arm} {count:,}' for arm, count in heard.items())}\n")
    report(scores, facts, BALANCE[corpus])


def scores_of(project: Path, corpus: str, asked: list[str], seed: int) -> pd.DataFrame:
    """The test scores of an encoder pretrained and fine-tuned with `seed`, and of one from scratch."""
    seeds = [f"pretrain.seed={seed}", f"finetune.seed={seed}"]
    run(project, "ingest,audit,shard,pretrain,finetune", ",".join(filter(None, [*asked, *seeds])))
    scores = pd.read_parquet(project / "data/07_model_output" / corpus / "finetune_scores.parquet")
    return scores.assign(seed=seed)


def report(scores: dict[str, pd.DataFrame], facts: pd.DataFrame, axis: str) -> None:
    """Errors and gains over everything, of pretrained and from scratch, over all and for the worst group."""
    group = dict(zip(facts["name"], facts[axis].astype("string").fillna("unknown"), strict=True))
    print(f"| trained | choice | error | gain over everything [95 %] | worst {axis} | its error | its gain |")
    print("|---|---|---|---|---|---|---|")
    for trained in ("pretrained", "scratch"):
        parts = [t[t["arm"] == trained].assign(arm=choice) for choice, t in scores.items()]
        table = pd.concat(parts).rename(columns={"seed": "repetition"})
        shared = set.intersection(*(set(part["clip"]) for part in parts))
        table = table[table["clip"].isin(list(shared))]
        table["cell"] = table["clip"].str.replace(r"-[0-9a-f]{10}$", "", regex=True).map(group)
        base = table[table["arm"] == "everything"].groupby("cell")[["errors", "total"]].sum()
        worst = (base["errors"] / base["total"]).idxmax()
        for choice in scores:
            overall, there = (written(part, choice) for part in (table, table[table["cell"] == worst]))
            print(f"| {trained} | {choice} | {overall[0]} | {overall[1]} | {worst} | {there[0]} | {there[1]} |")


def written(table: pd.DataFrame, choice: str) -> tuple[str, str]:
    """Its error, and its gain over everything."""
    own = table[table["arm"] == choice]
    error = f"{100 * own['errors'].sum() / own['total'].sum():.1f}"
    found: Gain | None = None if choice == "everything" else gain(table, "everything", pretrained=choice)
    if found is None:
        return error, ""
    bounds = f"{100 * found.gain:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return error, bounds if found.assessable else f"{bounds}, not assessable"


def run(project: Path, pipelines: str, params: str) -> None:
    """A command; what went wrong is shown."""
    asked = ["--params", params] if params else []
    done = kedro(project, "run", "--pipelines", pipelines, *asked, timeout_s=7200.0)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])


if __name__ == "__main__":
    main()
