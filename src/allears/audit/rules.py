"""Rules over measures: which clips a rule flags, and where it cuts.

Legend: `N` clips. A value is flagged when it lies outside [low, high]; NaN never is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.params.policy import Bounds, Rule

FENCE_NEEDS_CLIPS = 30  # quartiles of fewer say little: no fence is drawn

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def flagged(table: pd.DataFrame, rule: Rule) -> Flags:
    """Which rows [N] the rule flags. `table` is the manifest joined with the measures."""
    value_N = _values(table, rule)
    low_N, high_N = limits(table, rule)
    return judged(table, rule) & ((value_N < low_N) | (value_N > high_N))


def judged(table: pd.DataFrame, rule: Rule) -> Flags:
    """Which rows [N] the rule looks at."""
    long_enough = (table["decoded_duration_s"] >= rule.needs_s).to_numpy(dtype=bool)
    match rule.of:
        case "all":
            return long_enough
        case "none":
            return np.zeros(len(table), dtype=bool)
        case "text":
            return long_enough & table["text"].notna().to_numpy()
        case "speech":
            return long_enough & _is_speech(table)
        case "sounds":
            return long_enough & ~_is_speech(table)


def limits(table: pd.DataFrame, rule: Rule) -> tuple[Floats, Floats]:
    """The bounds [N] that hold for each row: its language's, else those of sounds, else the rule's, and the fences."""
    codes_N, languages = _languages(table)
    given = [_of_language(rule, str(language)) for language in languages]
    low_N = np.array([_low(each) for each in given])[codes_N]
    high_N = np.array([_high(each) for each in given])[codes_N]
    if rule.sounds is not None:
        sound_N, other = ~_is_speech(table), _over(rule, rule.sounds)
        low_N = np.where(sound_N, _low(other), low_N)
        high_N = np.where(sound_N, _high(other), high_N)
    if rule.iqr is not None:
        fence = fences(table, rule).reindex(languages)
        low_N = np.fmax(low_N, fence["low"].to_numpy()[codes_N])  # fmax: NaN is no fence
        high_N = np.fmin(high_N, fence["high"].to_numpy()[codes_N])
    return low_N, high_N


def fences(table: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Language ('' where unknown) → low, high: Q1 - k IQR and Q3 + k IQR (Tukey 1977) of the clips that are judged.

    NaN for a language with fewer than FENCE_NEEDS_CLIPS of them.
    """
    codes_N, languages = _languages(table)
    seen = pd.Series(_values(table, rule)).where(judged(table, rule))
    groups = seen.groupby(np.asarray(languages, dtype=object)[codes_N])
    first, third = groups.quantile(0.25), groups.quantile(0.75)
    enough = groups.count() >= FENCE_NEEDS_CLIPS
    reach = (rule.iqr or 0.0) * (third - first)
    return pd.DataFrame({"low": (first - reach).where(enough), "high": (third + reach).where(enough)})


def cuts(table: pd.DataFrame, rule: Rule, code: str) -> list[tuple[float, str]]:
    """Where the rule cuts, with words: ('noisy below', 10.0). Of languages and sounds only those that are there."""
    codes_N, languages = _languages(table)
    judged_N = judged(table, rule)
    if not judged_N.any():
        return []
    largest = np.argsort(-np.bincount(codes_N, minlength=len(languages)), kind="stable")
    speech_N = _is_speech(table)
    given: list[tuple[str, Bounds]] = []
    if rule.sounds is not None and (judged_N & ~speech_N).any():
        given.append(("sounds", _over(rule, rule.sounds)))
    if rule.sounds is None or (judged_N & speech_N).any():
        given.insert(0, ("", rule))
    given += [(str(languages[i]), _of_language(rule, str(languages[i]))) for i in largest if languages[i]]
    if rule.iqr is not None:
        fence = fences(table, rule)
        for i in largest:
            low, high = (None if np.isnan(each) else float(each) for each in fence.loc[languages[i]])
            given.append((str(languages[i]), Bounds(min=low, max=high)))
    found: dict[tuple[float, str], str] = {}
    for where, each in given:
        for bound, word in ((each.min, "below"), (each.max, "above")):
            if bound is not None:
                found.setdefault((bound, word), where)
    return [(bound, f"{code} {word}" + (f" ({where})" if where else "")) for (bound, word), where in found.items()]


def _is_speech(table: pd.DataFrame) -> Flags:
    """Which rows [N] are speech: noise and bandwidth of rain say nothing about rain."""
    return table["is_speech"].to_numpy(dtype=bool, na_value=False)


def _values(table: pd.DataFrame, rule: Rule) -> Floats:
    return table[rule.measure].to_numpy(dtype=np.float64, na_value=np.nan)


def _languages(table: pd.DataFrame) -> tuple[NDArray[np.intp], pd.Index[str]]:
    """A code a row, and the languages that they stand for; '' where unknown."""
    codes_N, languages = pd.factorize(table["language"].astype("string").fillna(""))
    return codes_N, pd.Index(languages)


def _of_language(rule: Rule, language: str) -> Bounds:
    named = {name.lower(): each for name, each in rule.by_language.items()}
    tag = language.lower().replace("_", "-")
    for name in (tag, tag.split("-")[0]):
        if name in named:
            return _over(rule, named[name])
    return rule


def _over(rule: Rule, other: Bounds) -> Bounds:
    """Those of `other`, the rule's where it has none."""
    low = rule.min if other.min is None else other.min
    return Bounds(min=low, max=rule.max if other.max is None else other.max)


def _low(bounds: Bounds) -> float:
    return -np.inf if bounds.min is None else bounds.min


def _high(bounds: Bounds) -> float:
    return np.inf if bounds.max is None else bounds.max
