import numpy as np
import pandas as pd
import pytest

from allears.evaluation.breakdown import axis_cells, compare, compare_encoders, mean_curves, steps_to_quality
from allears.evaluation.comparisons import Least

PLACE = {"task": "classify", "target": "digit", "share": 0.1, "fold": "", "learning_rate": 1e-3, "head": "mean"}


def _scores() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        [
            PLACE | {"arm": arm, "seed": r, "clip": f"c{s}-{c}", "group": f"s{s}", "total": 1}
            | {"errors": int(generator.random() < p), "reference": "one" if c < 4 else f"other-{c}"}
            for arm, p in {"scratch": 0.6, "random_frozen": 0.8, "pretrained": 0.2}.items()
            for r in range(3)
            for s in range(20)
            for c in range(10)
        ]
    )  # fmt: skip


def test_every_group_adds_up_to_all():
    scores = _scores()
    clips = pd.DataFrame({"clip": sorted(set(scores["clip"]))})
    clips["gender"] = ["f" if "1" in clip.split("-")[0] else None for clip in clips["clip"]]
    clips["age"] = None
    table = compare(scores, axis_cells(clips, ["gender", "age"]))
    assert set(table["axis"]) == {"all", "gender"}  # an axis of which nothing is known says nothing
    assert set(table.loc[table["axis"] == "gender", "cell"]) == {"f", "unknown"}
    for baseline, part in table.groupby("baseline"):
        counts = part.groupby("axis")["clips"].sum()
        assert counts["all"] == counts["gender"] == 200, baseline
    overall = table[(table["axis"] == "all") & (table["baseline"] == "scratch")].iloc[0]
    means = scores.groupby("arm")["errors"].mean()
    assert overall["gain"] == pytest.approx(means["scratch"] - means["pretrained"])


def test_an_encoder_is_compared_with_another_on_the_same_clips_and_seeds():
    scores = _scores()
    worse = scores[scores["arm"] != "scratch"].assign(errors=1)
    (row,) = compare_encoders(scores, [("best_rq", worse)], Least(speakers=21)).to_dict("records")
    mine = scores[scores["arm"] == "pretrained"]["errors"].mean()
    assert (row["baseline"], row["baseline_error"], row["pretrained_error"]) == ("best_rq", 1, pytest.approx(mine))
    assert row["gain"] == pytest.approx(1 - mine)
    assert (row["clips"], row["speakers"], row["repetitions"], row["assessable"]) == (200, 20, 3, False)
    assert compare_encoders(scores, []).empty


def test_steps_are_those_of_the_first_check_that_is_as_good_as_scratch_at_its_best():
    scores = pd.DataFrame([PLACE | {"arm": arm} for arm in ("scratch", "pretrained", "random_frozen")])
    dev = {"scratch": [9, 5, 4], "pretrained": [6, 4, 2], "random_frozen": [9, 8, 8]}
    curves = pd.DataFrame(
        [
            PLACE
            | {"arm": arm, "seed": seed, "step": 100 * (i + 1), "seconds": float(i), "dev_errors": e, "dev_total": 10}
            for arm, errors in dev.items()
            for seed in (0, 1)
            for i, e in enumerate(errors)
        ]
    )
    other_rate = curves.assign(learning_rate=1e-2, dev_errors=0)
    table = steps_to_quality(mean_curves(scores, pd.concat([curves, other_rate]))).set_index("arm")
    assert table.loc["scratch", "steps"] == 300
    assert table.loc["pretrained", "steps"] == 200
    assert table.loc["pretrained", "seconds"] == 1.0
    assert pd.isna(table.loc["random_frozen", "steps"])


def test_each_fold_counts_at_the_rate_that_was_chosen_for_it():
    folds = {"a": 1e-3, "b": 1e-2}
    scores = pd.DataFrame([PLACE | {"arm": "scratch", "fold": f, "learning_rate": lr} for f, lr in folds.items()])
    curves = pd.DataFrame(
        [
            PLACE
            | {"arm": "scratch", "seed": 0, "fold": fold, "learning_rate": lr, "step": 10, "seconds": 1.0}
            | {"dev_errors": 2 if lr == folds[fold] else 9, "dev_total": 10}
            for fold in folds
            for lr in folds.values()
        ]
    )
    assert mean_curves(scores, curves)["error"].tolist() == [0.2]


def test_knowing_nothing_is_always_saying_the_most_frequent_class():
    table = compare(_scores(), {}).set_index("baseline")
    assert table.loc["majority", "baseline_error"] == pytest.approx(0.6)
    assert table.loc["majority", "gain"] == pytest.approx(0.6 - table.loc["majority", "pretrained_error"])
    assert "majority" not in set(compare(_scores().assign(task="ctc"), {})["baseline"])
