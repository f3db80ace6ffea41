"""Compare splits with train, and sources with each other: language, rate, channels, level, SNR, texts.

A model is chosen on dev and judged on test, so both should hold the kind of audio that it is trained on. Only selected
clips count. A composition is compared by the total variation distance of hours: the share of one side's hours that
would have to be of another value to have the other side's shares; 0: the same shares, 1: nothing in common. A level
differs where half of the clips lie beyond the lowest or highest sixth of the other side's, and by LEAST_DB or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit.derived import tells_noise
from allears.audit.groups import Floats, Ints, Mask, coded, hours_of, in_order_of
from allears.audit.measures import BY_NAME
from allears.text.normalise import normalise
from allears.text.scripts import primary_language
from allears.types import SPLITS

MANIFEST_COLUMNS = (
    "clip", "source", "split", "group", "speaker", "language", "text", "sample_rate_hz", "channels", "start_s", "end_s",
)  # fmt: skip
COMPOSITIONS = ("language", "source", "sample_rate_hz", "channels")
LEVELS = ("rms_dbfs", "snr_db")
COLUMNS = {
    "split": "string", "source": "string", "clips": "int64", "hours": "float64", "speakers": "int64",
    "groups": "int64", "sources": "int64",
    **{name: "string" for name in COMPOSITIONS if name != "source"},
    **{f"{name}_share": "float64" for name in COMPOSITIONS if name != "source"},
    **{f"{name}_{mark}": "float64" for name in LEVELS for mark in ("low", "median", "high")},
    "texts": "int64", "text_in_train": "float64", "template_share": "float64",
}  # fmt: skip
DIFFERENCES = {
    "kind": "string", "part": "string", "other": "string", "measure": "string", "distance": "float64",
    "here": "string", "there": "string", "differs": "string", "at_least": "bool",
}  # fmt: skip
PARTLY, MOSTLY = 0.2, 0.5  # distances from which a composition differs partly, mostly; wholly: nothing in common
LEAST_DB = 3.0  # twice the power
LEAST_CLIPS = 10  # a median of fewer is that of single clips
SIXTH = 1 / 6
MANY_SPEAKERS, LEAST_MANY = 10, 3  # a text of so many, or of half of all if these are fewer, is a template
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Clips:
    """The selected clips [N]: their values as codes of names, levels, hours; `text_N` is -1 without a text."""

    code_N: dict[str, Ints]
    names: dict[str, tuple[str, ...]]
    known_N: dict[str, Mask]
    level_N: dict[str, Floats]
    hours_N: Floats
    group_N: Ints
    speaker_N: Ints
    text_N: Ints
    template_N: Mask


def compare(
    manifest: pd.DataFrame, measures: pd.DataFrame, selection: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of splits, sources and both (COLUMNS; null: all) and how dev, test and each source differ
    (DIFFERENCES).

    `manifest` needs MANIFEST_COLUMNS, `measures` those of `with_derived`, `selection` clip and keep.
    """
    kept_N = in_order_of(manifest, selection, "the selection")["keep"].to_numpy(dtype=bool)
    measured = in_order_of(manifest, measures, "the table of measures")
    sources = sorted(manifest["source"].unique())
    clips = _clips_of(manifest[kept_N], measured[kept_N])
    split_N, source_N = (manifest.loc[kept_N, name].to_numpy(dtype=object) for name in ("split", "source"))
    masks: dict[tuple[str | None, str | None], Mask] = {(split, None): split_N == split for split in SPLITS}
    if len(sources) > 1:
        masks |= {(None, source): source_N == source for source in sources}
        both = {(split, name): (split_N == split) & (source_N == name) for split in SPLITS for name in sources}
        masks |= {part: mask for part, mask in both.items() if mask.any()}
    in_train = np.unique(clips.text_N[masks["train", None]])
    rows = [
        {"split": split, "source": source} | _row(clips, mask, None if split in ("train", None) else in_train)
        for (split, source), mask in masks.items()
    ]
    train = masks["train", None]
    differences = [
        row for split in ("dev", "test") for row in _differences(clips, split, None, masks[split, None], train)
    ]
    for source in sources[:1] if len(sources) == 2 else sources:  # two differ from each other alike
        others = sources[1] if len(sources) == 2 else "the other sources"
        of_source = source_N == source
        differences += _differences(clips, None, source, of_source, ~of_source, others)
    return (
        pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS),
        pd.DataFrame(differences, columns=list(DIFFERENCES)).astype(DIFFERENCES),
    )


def variation_distance(one_G: Floats, other_G: Floats) -> float:
    """Total variation distance of two sums of hours by value: 0 for the same shares, 1 for nothing in common."""
    return float(np.abs(one_G / one_G.sum() - other_G / other_G.sum()).sum() / 2)


def at_ceiling(measure: str, value: float) -> bool:
    """True where a level is the highest that its estimate gives."""
    ceiling = BY_NAME[measure].ceiling
    return ceiling is not None and value >= ceiling


def level_in_words(measure: str, value: float) -> str:
    """Return a level with its unit: `-20.4 dBFS`, `≥ 34 dB` at the ceiling of its estimate."""
    number = f"≥ {value:g}" if at_ceiling(measure, value) else f"{value:.1f}"
    return f"{number} {BY_NAME[measure].unit}"


def lies_apart(here_N: Floats, there_N: Floats) -> bool:
    """True where the median is LEAST_DB or more from the other one and beyond the other's lowest or highest sixth."""
    if min(len(here_N), len(there_N)) < LEAST_CLIPS:
        return False
    median = float(np.median(here_N))
    low, middle, high = np.quantile(there_N, [SIXTH, 0.5, 1 - SIXTH])
    return abs(median - middle) >= LEAST_DB and not low <= median <= high


def _clips_of(manifest: pd.DataFrame, measures: pd.DataFrame) -> _Clips:
    values = {
        "language": manifest["language"].map(primary_language, na_action="ignore"),
        "source": manifest["source"],
        "sample_rate_hz": manifest["sample_rate_hz"].astype("string"),
        "channels": manifest["channels"].astype("string"),
    }
    code_of, names, known = {}, {}, {}
    for name, column in values.items():
        names[name], code_of[name] = coded(column)
        known[name] = column.notna().to_numpy(dtype=bool)
    group_N = pd.factorize(manifest["group"])[0].astype(np.int64)
    text_N = _texts(manifest["text"])
    return _Clips(
        code_of, names, known,
        {
            "rms_dbfs": measures["rms_dbfs"].to_numpy(dtype=np.float64),
            "snr_db": measures["snr_db"].where(tells_noise(measures)).to_numpy(dtype=np.float64),
        },
        hours_of(manifest), group_N, pd.factorize(manifest["speaker"])[0].astype(np.int64),
        text_N, _templates(text_N, group_N),
    )  # fmt: skip


def _texts(texts: pd.Series[str]) -> Ints:
    """A code of each normalised text; -1 where nothing is said."""
    raw_N, uniques = pd.factorize(texts)
    plain = pd.factorize(pd.Series([normalise(text) or None for text in uniques], dtype="string"))[0]
    return np.append(plain, -1).astype(np.int64)[raw_N]  # the code of null, -1, is the last


def _templates(text_N: Ints, group_N: Ints) -> Mask:
    """True for each clip whose text many speakers say: a prompt, or one of a few sentences."""
    groups = int(group_N.max(initial=-1)) + 1
    many = min(MANY_SPEAKERS, max(LEAST_MANY, math.ceil(groups / 2)))
    said = np.unique(text_N[text_N >= 0] * groups + group_N[text_N >= 0]) // max(groups, 1)
    speakers_X = np.bincount(said, minlength=int(text_N.max(initial=-1)) + 1)
    return np.append(speakers_X >= many, False)[text_N]


def _row(clips: _Clips, mask: Mask, in_train: Ints | None) -> dict[str, Any]:
    hours_N, text_N = clips.hours_N[mask], clips.text_N[mask]
    speaker_N = clips.speaker_N[mask]
    with_text = text_N >= 0
    row: dict[str, Any] = {
        "clips": int(mask.sum()), "hours": float(hours_N.sum()),
        "speakers": len(np.unique(speaker_N[speaker_N >= 0])), "groups": len(np.unique(clips.group_N[mask])),
        "sources": len(np.unique(clips.code_N["source"][mask])), "texts": len(np.unique(text_N[with_text])),
    }  # fmt: skip
    for name in COMPOSITIONS:
        hours_G = _hours_by_value(clips, name, mask)
        if name != "source" and hours_G.sum() > 0:
            row[name] = clips.names[name][int(hours_G.argmax())]
            row[f"{name}_share"] = round(float(hours_G.max() / hours_N.sum()), 9)  # sums in another order: 1 is 1
    for name in LEVELS:
        known_N = _known(clips.level_N[name][mask])
        if len(known_N):
            row |= zip(
                (f"{name}_{mark}" for mark in ("low", "median", "high")),
                np.quantile(known_N, [SIXTH, 0.5, 1 - SIXTH]).tolist(), strict=True,
            )  # fmt: skip
    if with_text.any():
        row["template_share"] = float(clips.template_N[mask][with_text].mean())
        if in_train is not None:
            row["text_in_train"] = float(np.isin(text_N[with_text], in_train).mean())
    return row


def _differences(
    clips: _Clips, split: str | None, source: str | None, mask: Mask, other: Mask, name_of_other: str = "train"
) -> Iterator[dict[str, Any]]:
    """Each measure of a split against train, or of a source against others; none where either is empty."""
    which = {"kind": "split" if split else "source", "part": split or source, "other": name_of_other}
    for name in COMPOSITIONS:
        here_G, there_G = (_hours_by_value(clips, name, each) for each in (mask, other))
        if (source and name == "source") or not (
            _mostly_known(clips, name, mask) and _mostly_known(clips, name, other)
        ):
            continue
        distance = variation_distance(here_G, there_G)
        here, there = (_most(clips.names[name], hours_G) for hours_G in (here_G, there_G))
        yield which | {
            "measure": name, "distance": distance, "here": here, "there": there, "differs": _degree(distance),
            "at_least": False,
        }  # fmt: skip
    for name in LEVELS:
        here_N, there_N = (_known(clips.level_N[name][each]) for each in (mask, other))
        if len(here_N) and len(there_N):
            here_db, there_db = float(np.median(here_N)), float(np.median(there_N))
            yield which | {
                "measure": name, "distance": here_db - there_db,
                "here": level_in_words(name, here_db), "there": level_in_words(name, there_db),
                "differs": "wholly" if lies_apart(here_N, there_N) else "",
                "at_least": at_ceiling(name, here_db) != at_ceiling(name, there_db),
            }  # fmt: skip


def _degree(distance: float) -> str:
    if distance > 1 - 1e-9:
        return "wholly"
    return "mostly" if distance >= MOSTLY else "partly" if distance >= PARTLY else ""


def _hours_by_value(clips: _Clips, name: str, mask: Mask) -> Floats:
    """Hours of each value that is known [G]."""
    known = mask & clips.known_N[name]
    hours_G = np.bincount(clips.code_N[name][known], clips.hours_N[known], minlength=len(clips.names[name]))
    return hours_G.astype(np.float64)


def _mostly_known(clips: _Clips, name: str, mask: Mask) -> bool:
    hours = float(clips.hours_N[mask].sum())
    return hours > 0 and float(clips.hours_N[mask & clips.known_N[name]].sum()) >= hours / 2


def _most(names: tuple[str, ...], hours_G: Floats) -> str:
    """The values of most hours, with their shares where there are several: `en 80 %, sw 20 %`."""
    order = [int(value) for value in np.argsort(-hours_G, kind="stable") if hours_G[value] > 0]
    if len(order) == 1:
        return names[order[0]]
    shares = [f"{names[value]} {hours_G[value] / hours_G.sum():.0%}" for value in order[:_NAMED]]
    return ", ".join(shares) + (" …" if len(order) > _NAMED else "")


def _known(values_N: NDArray[np.float64]) -> Floats:
    return values_N[np.isfinite(values_N)]
