"""Compare arms (pretrained, from scratch, random and frozen) on the clips and repetitions they share.

A table of scores has one row a clip, arm and repetition: `arm, repetition, clip, group, errors, total`. All rates are
error rates (1 − accuracy, or characters wrong): smaller is better, and a *gain* is the error of the baseline minus the
error of the pretrained model, so a positive gain means that pretraining helped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.evaluation.intervals import paired_interval


class Least(NamedTuple):
    """From how many speakers and clips on a gap may be read off; fewer is a finding in itself."""

    speakers: int = 10
    clips: int = 100


LEAST = Least()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Error rates of two arms on the same clips, and the gain with its 95 % interval."""

    baseline: str
    baseline_error: float
    pretrained_error: float
    gain: float
    low: float
    high: float
    clips: int
    speakers: int
    repetitions: int
    assessable: bool


def gain(scores: pd.DataFrame, baseline: str, *, pretrained: str = "pretrained", least: Least = LEAST) -> Gain | None:
    """The gain of `pretrained` over `baseline`, or None where the two share no clip and repetition.

    Under `least` it is not assessable, and says so.
    """
    found = _matrices(scores, (baseline, pretrained))
    if found is None:
        return None
    errors, totals, clips = found
    groups = _groups(scores, clips)
    difference = paired_interval(errors[baseline], errors[pretrained], totals, groups)
    weight, speakers = totals.sum(), len(set(groups))
    return Gain(
        baseline=baseline,
        baseline_error=float(errors[baseline].sum() / weight),
        pretrained_error=float(errors[pretrained].sum() / weight),
        gain=difference.mean,
        low=difference.low,
        high=difference.high,
        clips=len(clips),
        speakers=speakers,
        repetitions=totals.shape[0],
        assessable=len(clips) >= least.clips and speakers >= least.speakers,
    )


def gain_row(found: Gain) -> dict[str, object]:
    """A Gain as a row of a table."""
    return asdict(found)


def _matrices(
    scores: pd.DataFrame, arms: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64], list[str]] | None:
    """Errors [R, N] by arm, totals [R, N] and clips [N]: what all arms have in common.

    Not every repetition need have tested every clip: what one of the arms lacks counts in none.
    """
    tables = {
        arm: scores[scores["arm"] == arm].pivot_table(
            index="repetition", columns="clip", values=["errors", "total"], aggfunc="first"
        )
        for arm in arms
    }
    if any(table.empty for table in tables.values()):
        return None
    first = tables[arms[0]]
    repetitions, clips = first.index, first["errors"].columns
    for table in tables.values():
        repetitions = repetitions.intersection(table.index)
        clips = clips.intersection(table["errors"].columns)
    if not len(repetitions) or not len(clips):
        return None
    errors = {arm: table["errors"].loc[repetitions, clips].to_numpy(float) for arm, table in tables.items()}
    totals = first["total"].loc[repetitions, clips].to_numpy(float)
    shared = ~np.isnan([*errors.values(), totals]).any(axis=0)
    here = shared.any(axis=0)
    errors = {arm: np.where(shared, each, 0.0)[:, here] for arm, each in errors.items()}
    totals = np.where(shared, totals, 0.0)[:, here]
    if totals.sum() <= 0:
        return None
    return errors, totals, [str(clip) for clip in clips[here]]


def _groups(scores: pd.DataFrame, clips: list[str]) -> list[str]:
    known = scores.drop_duplicates("clip").set_index("clip")["group"]
    return [str(known[clip]) for clip in clips]
