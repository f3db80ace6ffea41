"""Break fine-tuning scores down: overall, by group, and how soon each arm reaches what scratch reaches at best.

`scores` has one row a test clip: `task, target, arm, share, seed, fold, learning_rate, head, clip, group, reference,
prediction, errors, total`; `curves` one a check on dev speakers: `task, target, arm, share, seed, fold, learning_rate,
head, step, seconds, dev_errors, dev_total`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from allears.corpus.ages import age_band
from allears.evaluation.comparisons import LEAST, Least, gain, gain_row

CELL = ["task", "target", "share"]
MAJORITY = "majority"  # always the most frequent class of the test clips: what knowing nothing of a clip gives
BASELINES = ("scratch", "random_frozen", MAJORITY)
COMPARISON_COLUMNS = [
    *CELL, "axis", "cell", "baseline", "baseline_error", "pretrained_error", "gain", "low", "high",
    "clips", "speakers", "repetitions", "assessable",
]  # fmt: skip
ENCODER_COLUMNS = [*CELL, *COMPARISON_COLUMNS[COMPARISON_COLUMNS.index("baseline") :]]
CURVE_COLUMNS = [*CELL, "arm", "step", "error", "seconds"]
STEPS_COLUMNS = [*CELL, "arm", "best_scratch_error", "best_error", "steps", "seconds"]


def compare(scores: pd.DataFrame, axes: Mapping[str, Mapping[str, str]], least: Least = LEAST) -> pd.DataFrame:
    """Gains over each baseline for every task, target and share: over all clips (axis 'all') and by cell of `axes`.

    `axes` maps an axis to clip → cell; clips that it does not name are 'unknown'. An axis where all is unknown gives
    no rows. Columns: COMPARISON_COLUMNS.
    """
    rows = []
    known = pd.concat([scores, _majority(scores)])
    for key, part in known.rename(columns={"seed": "repetition"}).groupby(CELL, sort=True):
        place = dict(zip(CELL, key, strict=True))
        for axis, cells in {"all": dict.fromkeys(part["clip"], "all"), **axes}.items():
            labelled = part["clip"].map(dict(cells)).astype("string").fillna("unknown")
            if set(labelled) == {"unknown"}:
                continue
            for cell, members in part.groupby(labelled.to_numpy(), sort=True):
                rows += _rows(members, place | {"axis": axis, "cell": cell}, least)
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def compare_encoders(
    scores: pd.DataFrame, others: Iterable[tuple[str, pd.DataFrame]], least: Least = LEAST
) -> pd.DataFrame:
    """Gains of this pretrained encoder over others: (name, scores of the same clips, labels, seeds and settings).

    `baseline` is the other's name and `baseline_error` its error. Columns: ENCODER_COLUMNS.
    """
    rows = []
    mine = scores[scores["arm"] == "pretrained"]
    for name, other in others:
        theirs = other[other["arm"] == "pretrained"].assign(arm=name)
        both = pd.concat([mine, theirs]).rename(columns={"seed": "repetition"})
        for key, part in both.groupby(CELL, sort=True):
            if (found := gain(part, name, least=least)) is not None:
                rows.append(dict(zip(CELL, key, strict=True)) | gain_row(found))
    return pd.DataFrame(rows, columns=ENCODER_COLUMNS)


def mean_curves(scores: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Dev error at each check, over seeds (and folds), of each arm with the learning rate and head that `scores` has.

    Columns: CURVE_COLUMNS.
    """
    chosen = scores[[*CELL, "fold", "arm", "learning_rate", "head"]].drop_duplicates()
    means = (
        curves.merge(chosen, on=list(chosen.columns))
        .groupby([*CELL, "arm", "step"], as_index=False)
        .agg(dev_errors=("dev_errors", "sum"), dev_total=("dev_total", "sum"), seconds=("seconds", "mean"))
    )
    return means.assign(error=means["dev_errors"] / means["dev_total"])[CURVE_COLUMNS]


def steps_to_quality(means: pd.DataFrame) -> pd.DataFrame:
    """Steps and seconds until each arm's mean curve is at most the best that scratch's ever reaches.

    Null: never reached. Columns: STEPS_COLUMNS.
    """
    rows = []
    for key, part in means.groupby(CELL, sort=True):
        scratch = part[part["arm"] == "scratch"]
        if scratch.empty:
            continue
        best = scratch["error"].min()
        for arm, curve in part.groupby("arm", sort=True):
            reached = curve[curve["error"] <= best].sort_values("step")
            first = reached.iloc[0] if len(reached) else None
            rows.append(
                dict(zip(CELL, key, strict=True))
                | {"arm": arm, "best_scratch_error": best, "best_error": curve["error"].min()}
                | {"steps": None if first is None else first["step"]}
                | {"seconds": None if first is None else first["seconds"]}
            )
    table = pd.DataFrame(rows, columns=STEPS_COLUMNS)
    return table.astype({"steps": "Int64", "seconds": "float64"})


def axis_cells(clips: pd.DataFrame, axes: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each axis: clip → its value, known values only; ages in bands of ten years."""
    found: dict[str, dict[str, str]] = {}
    for axis in axes:
        values = clips[axis].map(age_band) if axis == "age" else clips[axis]
        known = values.notna()
        found[axis] = dict(zip(clips["clip"][known], values[known].astype(str), strict=True))
    return found


def _rows(members: pd.DataFrame, place: dict[str, object], least: Least) -> list[dict[str, object]]:
    found = (gain(members, baseline, least=least) for baseline in BASELINES)
    return [place | gain_row(one) for one in found if one is not None]


def _majority(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of always saying the most frequent class, wherever a pretrained model was asked to classify."""
    asked = scores[(scores["task"] == "classify") & (scores["arm"] == "pretrained")]
    if asked.empty:
        return asked
    said = asked.groupby(CELL)["reference"].transform(lambda classes: classes.mode().iloc[0])
    return asked.assign(arm=MAJORITY, prediction=said, errors=(asked["reference"] != said).astype("int64"))
