"""How well texts that belong to other clips are found: `python tests/benchmark/calibrate_texts.py`.

A model is pretrained on speechocean762 (through ALLEARS_REAL_DATA) and fine-tuned on its characters; `--project`
names a folder instead that holds the ingested `--corpus` and such a model (`task_model.json`). Of test speakers'
clips that the model has not learned, each is judged with its own text and with one of another clip: drawn at random,
and (harder) of about its length. Precision is that of a corpus in which `--share` of the texts are swapped.
Intervals: 95 %, bootstrap over speakers.

Beside the two measures of the audit stand two that were tried: the negative log-likelihood itself, whose scale depends
on the model, and its distance from that of 20 other texts of about the length.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audio.decode import mixed, resample
from allears.corpus.manifest import Manifest, clip_refs
from allears.corpus.opening import decoded_clips
from allears.downstream.text_fit import contrast, negative_log_likelihood
from allears.downstream.text_judge import MOST_S, Judge, open_judge
from allears.errors import AudioError
from allears.evaluation.error_rates import character_errors
from allears.storage.files import read_json
from allears.text.normalise import normalise
from tests.audit_tables import POLICIES
from tests.project import ROOT, kedro, make_project

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent")).absolute()
PIPELINES = "ingest,audit,shard,pretrain,finetune"
TRAIN = (
    "corpus=so762,ingest.path={path},ingest.licence=LicenseRef-speechocean762,"
    "finetune.task=ctc,finetune.arms=[pretrained],finetune.shares=[1.0],finetune.seeds=1,finetune.updates=1200"
)
MEASURES = ("text_error", "text_ctc", "nll_per_character", "nll_minus_20_others")
OTHERS, BOOTSTRAPS, RECALLS = 20, 500, (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Floats = NDArray[np.float64]


def main() -> None:
    """Print the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="with a model; none: train one, a quarter of an hour on two cores")
    parser.add_argument("--corpus", default="so762")
    parser.add_argument("--split", default="test", help="of whose clips texts are swapped")
    parser.add_argument("--clips", type=int, default=500, help="at most so many")
    parser.add_argument("--share", type=float, default=0.05, help="of the texts that are swapped")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(given.project or trained(Path(temporary) / "project"))
        score(given)
        os.chdir(ROOT)


def trained(project: Path) -> Path:
    """A project with speechocean762 and a model of its characters."""
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    params = TRAIN.format(path=REAL / "speechocean762")
    done = kedro(make_project(project), "run", "--pipelines", PIPELINES, "--params", params, timeout_s=7200.0)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return project


def score(given: argparse.Namespace) -> None:
    """Swap, judge, print."""
    judge = open_judge(Path(read_json(Path("data/06_models") / given.corpus / "task_model.json")["folder"]))
    clips = unlearned(judge, given.corpus, given.split, given.clips)
    scores = judged(judge, clips, np.random.default_rng(0))
    own = scores[scores["swap"] == "none"]
    print(
        f"{own['clip'].nunique()} clips of {own['group'].nunique()} speakers of {given.corpus} ({given.split})", end=""
    )
    print(f", {own['errors'].sum() / own['characters'].sum():.0%} character error; {given.share:.0%} swapped")
    for swap in ("any", "alike"):
        table = scores[scores["swap"].isin(["none", swap])]
        words = {"any": "a text drawn at random", "alike": "a text of about the length"}
        print(f"\n## Swapped for {words[swap]}")
        curves(table, given.share)
        rules(table, given.share)


def unlearned(judge: Judge, corpus: str, split: str, most: int) -> pd.DataFrame:
    """Clips of the split with a text (normalised) that the judge has not learned."""
    table = Manifest.from_json(read_json(Path("data/02_intermediate") / corpus / "manifest.json")).frame()
    table["text"] = table["text"].map(normalise, na_action="ignore").fillna("")
    known = judge.learned.has_clips(corpus, table["clip"]) | judge.learned.has_groups(corpus, table["group"])
    kept = (table["split"] == split) & (table["text"] != "") & (table["end_s"] - table["start_s"] <= MOST_S) & ~known
    return table[kept].sample(frac=1.0, random_state=0).head(most).reset_index(drop=True)


def judged(judge: Judge, clips: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A row a clip and swap (none, any, alike) with all MEASURES; what the text cannot fit has infinite ones."""
    texts = clips["text"].unique()
    length_of = np.array([len(text) for text in texts])
    rows = []
    for place, ref in enumerate(clip_refs(clips)):
        [(_, decoded)] = decoded_clips([ref])
        if isinstance(decoded, AudioError):
            continue
        said, scores_FV = judge.hear(resample(mixed(decoded[0]), decoded[1], judge.sample_rate_hz))
        own = str(clips["text"].iloc[place])
        nearest = [str(texts[i]) for i in np.argsort(np.abs(length_of - len(own)), kind="stable") if texts[i] != own]
        swaps = {"none": own, "any": str(rng.choice(texts[texts != own])), "alike": str(rng.choice(nearest[:10]))}
        for swap, text in swaps.items():
            strangers = [each for each in nearest[: OTHERS + 2] if each not in (own, text)][:OTHERS]
            errors, characters = character_errors(text, said)
            target = judge.model.tokenizer.encode(text)
            nll = negative_log_likelihood(scores_FV, target) / len(target)
            others = [
                negative_log_likelihood(scores_FV, judge.model.tokenizer.encode(each)) / len(each) for each in strangers
            ]
            values = (errors / characters, contrast(scores_FV, target), nll, nll - float(np.mean(others)))
            row = {"clip": ref.clip, "group": clips["group"].iloc[place], "swap": swap, "errors": errors}
            rows.append(row | {"characters": characters} | dict(zip(MEASURES, values, strict=True)))
    return pd.DataFrame(rows)


def curves(table: pd.DataFrame, share: float) -> None:
    """Average precision and points of the precision-recall curve of each measure, as markdown."""
    heads = " | ".join(f"P at R {recall:g}" for recall in RECALLS)
    print(f"\n| measure | average precision | R at P 0.9 | R at P 0.98 | {heads} |\n|{'---|' * (4 + len(RECALLS))}")
    for name in MEASURES:
        summaries: list[Callable[[Floats, Floats, Floats], float]] = [
            lambda y, v, w: float(average_precision_score(y, v, sample_weight=w)),
            lambda y, v, w: recall_at(y, v, w, 0.9),
            lambda y, v, w: recall_at(y, v, w, 0.98),
        ]
        cells = [interval(table, name, share, each) for each in summaries]
        precision, recall, _ = precision_recall_curve(*arrays(table, name)[:2], sample_weight=weights(table, share))
        points = [f"{precision[recall >= least].max():.2f}" for least in RECALLS]
        print(f"| {name} | {' | '.join(cells)} | {' | '.join(points)} |")


def rules(table: pd.DataFrame, share: float) -> None:
    """What the committed cut-offs do."""
    print("\n| policy | text_ctc over | precision | recall | right texts flagged |\n|---|---|---|---|---|")
    for policy in ("lenient", "standard", "strict"):
        most = POLICIES.chosen(policy).root["text_mismatch"].max or 0.0
        flagged, swapped, weight = table["text_ctc"] > most, table["swap"] != "none", weights(table, share)
        precision = weight[flagged & swapped].sum() / max(weight[flagged].sum(), 1e-9)
        recall, wrong = flagged[swapped].mean(), flagged[~swapped].mean()
        print(f"| {policy} | {most:g} | {precision:.2f} | {recall:.3f} | {wrong:.3f} |")


def interval(table: pd.DataFrame, name: str, share: float, summary: Callable[[Floats, Floats, Floats], float]) -> str:
    """The summary with its 95 % interval over resampled speakers."""
    swapped_N, value_N = arrays(table, name)
    weight_N = weights(table, share)
    codes_N, groups = pd.factorize(table["group"])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(BOOTSTRAPS):
        times_N = np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups))[codes_N]
        found.append(summary(swapped_N, value_N, weight_N * times_N))
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{summary(swapped_N, value_N, weight_N):.2f} [{low:.2f}, {high:.2f}]"


def recall_at(swapped_N: Floats, value_N: Floats, weight_N: Floats, least: float) -> float:
    """The highest recall at which precision is `least` and more."""
    precision, recall, _ = precision_recall_curve(swapped_N, value_N, sample_weight=weight_N)
    return float(recall[precision >= least].max())


def arrays(table: pd.DataFrame, name: str) -> tuple[Floats, Floats]:
    """Which rows are swapped, and the measure; infinite ones lie above all others."""
    value_N = table[name].to_numpy(np.float64)
    return (table["swap"] != "none").to_numpy(np.float64), np.nan_to_num(value_N, posinf=1e6, neginf=-1e6)


def weights(table: pd.DataFrame, share: float) -> Floats:
    """Rows of swapped texts count so that they are `share` of all."""
    swapped_N = (table["swap"] != "none").to_numpy()
    return np.where(swapped_N, share / swapped_N.sum(), (1 - share) / (~swapped_N).sum())


if __name__ == "__main__":
    main()
