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


def test_no_shared_clip_is_no_comparison():
    assert gain(_scores({"pretrained": 0.2}), "scratch") is None
