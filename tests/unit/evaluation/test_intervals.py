import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.evaluation.intervals import Interval, paired_interval
from tests.reference.bootstrap import slow_clustered_interval


def _errors(seed: int, repetitions: int = 3, clusters: int = 12, clips: int = 8) -> tuple[np.ndarray, list[str]]:
    generator = np.random.default_rng(seed)
    speaker_rate = generator.uniform(0.1, 0.6, clusters)
    errors = generator.random((repetitions, clusters, clips)) < speaker_rate[None, :, None]
    return errors.reshape(repetitions, -1).astype(float), [f"s{c}" for c in range(clusters) for _ in range(clips)]


def clustered_interval(errors, totals, groups, **settings) -> Interval:
    """Of one rate: its difference from a rate of zero."""
    return paired_interval(errors, np.zeros_like(errors), totals, groups, **settings)


def test_interval_agrees_with_a_slow_bootstrap():
    errors, groups = _errors(1)
    fast = clustered_interval(errors, np.ones_like(errors), groups, samples=4000)
    slow = slow_clustered_interval(errors, np.ones_like(errors), groups, samples=4000, seed=5)
    assert fast.mean == pytest.approx(slow[0])
    assert (fast.low, fast.high) == pytest.approx(slow[1:], abs=0.012)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth, covered = 0.35, 0
    for seed in range(120):
        errors, groups = _errors(seed, repetitions=1, clusters=30)
        found = clustered_interval(errors, np.ones_like(errors), groups, samples=400, seed=seed)
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 120 <= 1.0


def test_clusters_widen_the_interval():
    errors = np.repeat(np.array([0.0, 1.0] * 10), 50)  # each of 20 speakers is all right or all wrong
    by_speaker = clustered_interval(errors, np.ones(1000), [str(i // 50) for i in range(1000)])
    by_clip = clustered_interval(errors, np.ones(1000), [str(i) for i in range(1000)])
    assert by_speaker.high - by_speaker.low > 4 * (by_clip.high - by_clip.low)


def test_a_shared_difficulty_cancels_in_a_paired_difference():
    hard, groups = _errors(2)
    better = hard.copy()
    better[:, ::4] = 0
    difference = paired_interval(hard, better, np.ones_like(hard), groups)
    assert difference.low > 0
    assert difference.mean == pytest.approx(hard.mean() - better.mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_an_arm_does_not_differ_from_itself(seed: int):
    errors, groups = _errors(seed)
    same = paired_interval(errors, errors, np.ones_like(errors), groups, samples=100)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_nothing_to_divide_by_is_an_error():
    with pytest.raises(ValueError, match="add up to zero"):
        clustered_interval([0.0], [0.0], ["a"])
    with pytest.raises(ValueError, match="2 clips, clusters for 1"):
        clustered_interval([0.0, 1.0], [1.0, 1.0], ["a"])
