from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.rules import FENCE_NEEDS_CLIPS, cuts, flagged
from allears.errors import ConfigError
from allears.params.policy import Policies, Rule


def table(values: list[float | None], languages: list[str | None] | None = None, seconds: float = 2.0) -> pd.DataFrame:
    spoken = languages or ["en"] * len(values)
    return pd.DataFrame(
        {
            "x": pd.array(values, dtype="Float64").to_numpy(dtype=float, na_value=np.nan),
            "decoded_duration_s": seconds,
            "text": pd.array([None] * len(values), dtype="string"),
            "language": pd.array(spoken, dtype="string"),
            "is_speech": [language is not None for language in spoken],
        }
    )


def rule(**given: Any) -> Rule:
    return Rule.model_validate({"measure": "x"} | given)


def test_bounds_are_still_allowed_and_what_has_no_value_is_not_flagged() -> None:
    clips = table([0.9, 1.0, 2.0, 2.1, None])
    assert flagged(clips, rule(min=1, max=2)).tolist() == [True, False, False, True, False]


def test_shorter_clips_are_not_judged() -> None:
    assert not flagged(table([0.0], seconds=0.5), rule(min=1, needs_s=1)).any()


def test_languages_have_bounds_of_their_own() -> None:
    clips = table([3.0] * 5, ["en", "en-GB", "de", "de-AT", None])
    given = rule(min=1, max=5, by_language={"EN": {"max": 2}, "de-at": {"min": 4}})
    assert flagged(clips, given).tolist() == [True, True, False, True, False]
    named = {name: value for value, name in cuts(clips, given, "odd")}
    assert named == {
        "odd below": 1, "odd above": 5, "odd above (en)": 2, "odd below (de-AT)": 4,
    }  # fmt: skip


def test_sounds_have_bounds_of_their_own_that_are_drawn_where_there_are_sounds() -> None:
    given = rule(max=5, sounds={"max": 9})
    both = table([7.0, 7.0, 9.5], ["en", None, None])
    assert flagged(both, given).tolist() == [True, False, True]
    assert cuts(both, given, "odd") == [(5, "odd above"), (9, "odd above (sounds)")]
    assert cuts(table([7.0]), given, "odd") == [(5, "odd above")]
    assert cuts(table([7.0], [None]), given, "odd") == [(9, "odd above (sounds)")]


def fenced(values: list[float], k: float) -> list[bool]:
    """Tukey's fences, the slow way: quartiles by linear interpolation between the sorted values."""
    if len(values) < FENCE_NEEDS_CLIPS:
        return [False] * len(values)
    ordered = sorted(values)

    def quantile(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    first, third = quantile(0.25), quantile(0.75)
    return [not first - k * (third - first) <= each <= third + k * (third - first) for each in values]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.5, 3.0]))
def test_fences_of_each_language_are_those_of_its_own_clips(seed: int, k: float) -> None:
    rng = np.random.default_rng(seed)
    languages = rng.choice(["en", "sw", ""], 150, p=[0.6, 0.3, 0.1])
    values = np.round(rng.standard_cauchy(150), 3) + np.where(languages == "sw", 50, 0)
    clips = table(list(values), [each or None for each in languages])
    expected = np.zeros(150, dtype=bool)
    for language in ("en", "sw", ""):
        mine = languages == language
        expected[mine] = fenced(list(values[mine]), k)
    assert flagged(clips, rule(iqr=k)).tolist() == expected.tolist()


def test_fences_never_widen_hard_bounds_and_few_clips_have_none() -> None:
    many = table([float(i % 10) for i in range(100)] + [30.0])
    assert np.flatnonzero(flagged(many, rule(iqr=3))).tolist() == [100]
    assert flagged(many, rule(iqr=100, max=8)).sum() == 11
    assert {name for _, name in cuts(many, rule(iqr=3), "odd")} == {"odd below (en)", "odd above (en)"}
    assert not flagged(table([0.0] * 10 + [99.0]), rule(iqr=1.5)).any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"measure": "x"}, r"policies\.mine\.odd has no bound: give it min, max or iqr"),
        ({"measure": "x", "min": 2, "max": 2}, r"policies\.mine\.odd: min 2 must be smaller than max 2"),
        ({"measure": "x", "max": 2, "sounds": {"min": 3}}, r"odd \(sounds\): min 3 must be smaller than max 2"),
        ({"measure": "x", "max": 2, "by_language": {"de": {"min": 3}}}, r"odd \(de\): min 3 must be smaller"),
    ],
)
def test_rules_that_make_no_sense(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policies.model_validate({"mine": {"odd": wrong}})


def test_names_of_reasons() -> None:
    for name in ("byte_duplicate", "dropped_by_person"):
        with pytest.raises(ValueError, match="use another name"):
            Policies.model_validate({"mine": {name: {"measure": "x", "min": 1}}})
    with pytest.raises(ValueError, match="pattern"):
        Policies.model_validate({"mine": {"a,b": {"measure": "x", "min": 1}}})
    with pytest.raises(ValueError, match="at most 40"):
        Policies.model_validate({"mine": {f"r{i}": {"measure": "x", "min": 1} for i in range(41)}})


def test_a_policy_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"no policy 'strikt'; did you mean 'strict'\?.* are strict"):
        Policies.model_validate({"strict": {"odd": {"measure": "x", "min": 1}}}).chosen("strikt")
