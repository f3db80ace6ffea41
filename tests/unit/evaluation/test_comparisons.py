import numpy as np
import pandas as pd
import pytest

from allears.evaluation.comparisons import gain


def _scores(error_by_arm: dict[str, float], speakers: int = 12, clips: int = 10) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    return pd.DataFrame(
        [
            {
                "arm": arm,
                "repetition": r,
                "clip": f"c{s}-{c}",
                "group": f"s{s}",
                "errors": int(generator.random() < p),
                "total": 1,
            }
            for arm, p in error_by_arm.items()
            for r in range(3)
            for s in range(speakers)
            for c in range(clips)
        ]
    )


def test_gain_is_the_error_of_the_baseline_minus_that_of_the_pretrained_model():
    scores = _scores({"scratch": 0.5, "pretrained": 0.2})
    found = gain(scores, "scratch")
    means = scores.groupby("arm")["errors"].mean()
    assert found is not None
    assert found.gain == pytest.approx(means["scratch"] - means["pretrained"])
    assert found.low > 0
    assert (found.clips, found.speakers, found.repetitions, found.assessable) == (120, 12, 3, True)


def test_only_shared_clips_and_repetitions_are_compared():
    scores = _scores({"scratch": 0.5, "pretrained": 0.2})
    scores = scores[~((scores["arm"] == "scratch") & ((scores["repetition"] == 2) | (scores["group"] == "s0")))]
    found = gain(scores, "scratch")
    assert found is not None
    assert (found.clips, found.speakers, found.repetitions) == (110, 11, 2)


def test_repetitions_may_have_tested_other_clips():
    """As where each draws its own test clips: the gain is over the pairs of clip and repetition that both arms have."""
    scores = _scores({"scratch": 0.5, "pretrained": 0.2})
    drawn = np.random.default_rng(0).random(len(scores) // 2) < 0.6  # of (repetition, clip), the same for both arms
    scores = scores[np.tile(drawn, 2)]
    lost = scores.index[scores["arm"] == "scratch"][:5]  # and one arm lacks some of them
    pairs = scores.drop(lost).pivot_table(index=["repetition", "clip"], columns="arm", values="errors").dropna()
    found = gain(scores.drop(lost), "scratch")
    assert found is not None
    assert found.gain == pytest.approx(pairs["scratch"].mean() - pairs["pretrained"].mean())
    assert found.low < found.gain < found.high
    assert found.clips == pairs.index.get_level_values("clip").nunique()


def test_no_shared_clip_is_no_comparison():
    assert gain(_scores({"pretrained": 0.2}), "scratch") is None
