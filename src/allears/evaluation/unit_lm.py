"""Evaluation of a language model of units on clips of speakers that it was not trained on. Pure.

Three questions: perplexity against a unigram and a trigram of the same units; whether a clip's own continuation is more
likely than that of another clip of the same language; whether its true order is more likely than a shuffled one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.evaluation.intervals import paired_interval

Units = NDArray[np.int64]
Score = Callable[[Sequence[Units]], list[NDArray[np.float64]]]  # negative log probability of each unit
LEAST_UNITS = 8  # of a clip that is continued or shuffled
COLUMNS = (
    "language", "clips", "speakers", "units", "perplexity", "trigram", "unigram", "gain", "low", "high",
    "continuation", "order", "trigram_order",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Clips to score: units of each, its language and its speaker."""

    sequences: Sequence[Units]
    languages: Sequence[str]
    speakers: Sequence[str]


def evaluate(held_out: HeldOut, model: Score, trigram: Score, unigram: Score, seed: int = 0) -> pd.DataFrame:
    """Return one row for all clips and one per language, with `COLUMNS`.

    `gain` is the trigram's mean negative log probability minus the model's, in nats per unit, with its 95 % interval
    over speakers. `continuation` and `order` are shares of clips that are judged right; chance, and a tie, is one half.
    """
    sequences = held_out.sequences
    other = _others(held_out, seed)
    swapped = [_continued(mine, sequences[place]) for mine, place in zip(sequences, other, strict=True)]
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(units_U) for units_U in sequences]
    scores = {name: score(sequences) for name, score in (("model", model), ("trigram", trigram), ("unigram", unigram))}
    long = np.array([len(units_U) >= LEAST_UNITS for units_U in sequences], dtype=bool)
    own = np.array([_tail(nll_U) for nll_U in scores["model"]])
    changed = np.array([_tail(nll_U) for nll_U in model(swapped)])
    table = pd.DataFrame(
        {
            "language": list(held_out.languages),
            "speaker": list(held_out.speakers),
            "units": [len(units_U) for units_U in sequences],
            **{name: [float(nll_U.sum()) for nll_U in found] for name, found in scores.items()},
            "continuation": np.where(long & (np.arange(len(other)) != other), _right(own, changed), np.nan),
            "order": np.where(long, _right(_sums(scores["model"]), _sums(model(shuffled))), np.nan),
            "trigram_order": np.where(long, _right(_sums(scores["trigram"]), _sums(trigram(shuffled))), np.nan),
        }
    )
    table = table[table["units"] > 0]
    groups = [("all", table), *((str(name), some) for name, some in table.groupby("language", sort=True))]
    return pd.DataFrame([_row(name, some) for name, some in groups if len(some)], columns=list(COLUMNS))


def _row(name: str, table: pd.DataFrame) -> dict[str, object]:
    total = table["units"].sum()
    gain = paired_interval(table["trigram"], table["model"], table["units"], list(table["speaker"]))
    return {
        "language": name,
        "clips": len(table),
        "speakers": table["speaker"].nunique(),
        "units": int(total),
        "perplexity": float(np.exp(table["model"].sum() / total)),
        "trigram": float(np.exp(table["trigram"].sum() / total)),
        "unigram": float(np.exp(table["unigram"].sum() / total)),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
        **{key: float(table[key].astype(float).mean()) for key in ("continuation", "order", "trigram_order")},
    }


def _others(held_out: HeldOut, seed: int) -> NDArray[np.int64]:
    """Return for each clip another one of its language, at random; itself where it is the only one."""
    random, languages = np.random.default_rng(seed), np.array(held_out.languages)
    found = np.arange(len(languages))
    for language in np.unique(languages):
        places = random.permutation(np.flatnonzero(languages == language))
        found[places] = np.roll(places, 1)
    return found


def _continued(mine_U: Units, other_U: Units) -> Units:
    """Return the first half of a clip, then as much of the second half of another."""
    half = len(mine_U) // 2
    return np.concatenate((mine_U[:half], other_U[len(other_U) // 2 :][: len(mine_U) - half]))


def _tail(nll_U: NDArray[np.float64]) -> float:
    """Return the mean over what follows the first half (a continuation may be shorter than the clip's own)."""
    tail_U = nll_U[len(nll_U) // 2 :]
    return float(tail_U.mean()) if len(tail_U) else np.nan


def _right(true_N: NDArray[np.float64], false_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the truth is more likely, one half for a tie."""
    return np.where(true_N < false_N, 1.0, np.where(true_N == false_N, 0.5, 0.0))


def _sums(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.array([nll_U.sum() for nll_U in scores])
