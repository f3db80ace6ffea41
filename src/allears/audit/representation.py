"""Whom a corpus has: hours, clips and speakers of every group, shares with intervals, and whom the cut-offs take away.

Legend: `C` clusters (speakers, else sessions, else recordings), `G` cells of an axis, `S` bootstrap samples. Unknown is
a cell of its own in every table; nothing is inferred about a person.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.corpus.ages import age_band
from allears.params.audit import AuditParams

UNKNOWN = "unknown"
COLUMNS = {
    "axis": "string", "cell": "string", "clips": "int64", "hours": "float64", "speakers": "int64", "clusters": "int64",
    "share": "float64", "share_low": "float64", "share_high": "float64", "kept_clips": "int64", "kept_hours": "float64",
    "train_hours": "float64", "test_speakers": "int64", "keep_rate": "float64", "keep_ratio": "float64",
    "assessable": "bool", "dominant": "bool", "disparity": "bool",
}  # fmt: skip
_TAIL = 0.025


def represent(
    manifest: pd.DataFrame, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams
) -> pd.DataFrame:
    """A row a cell: for each axis and each pair of crossed axes that say anything (COLUMNS).

    `share` is of the hours, its interval a bootstrap over clusters. `keep_ratio` is the keep rate over the best one of
    the assessable cells of the axis; null where the cell is not assessable. `disparity`: under the policy's ratio.
    """
    table = _prepared(manifest, verdicts, selection)
    names = [(axis,) for axis in params.representation.axes]
    rows = []
    for axes in chain(names, params.representation.crossed):
        cells = cells_of(table, axes)
        if len(axes) > 1 and any((table[axis] == UNKNOWN).all() for axis in axes):
            continue
        rows.append(_axis_rows(table, " × ".join(axes), cells, params))
    return pd.concat(rows, ignore_index=True).astype(COLUMNS) if rows else _empty()


def cells_of(table: pd.DataFrame, axes: tuple[str, ...]) -> pd.Series[str]:
    """The cell of each row: its value of the axis, or its values joined by ' × '."""
    cells = table[axes[0]]
    for axis in axes[1:]:
        cells = cells + " × " + table[axis]
    return cells


def share_intervals(
    hours_CG: NDArray[np.float64], samples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds [G] of the 95 % percentile interval of each cell's share of the hours, clusters drawn with replacement."""
    generator = np.random.Generator(np.random.Philox(seed))
    clusters = len(hours_CG)
    shares = []
    for first in range(0, samples, 25):
        size = min(25, samples - first)
        picks_SC = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=size)
        drawn_SG = picks_SC @ hours_CG
        shares.append(drawn_SG / np.maximum(drawn_SG.sum(axis=1, keepdims=True), 1e-12))
    low, high = np.quantile(np.concatenate(shares), [_TAIL, 1 - _TAIL], axis=0)
    return low, high


def effective_groups(share_G: NDArray[np.float64]) -> float:
    """How many equally large groups would be as varied: e to the entropy of the shares."""
    positive = share_G[share_G > 0]
    return float(np.exp(-(positive * np.log(positive)).sum())) if len(positive) else 0.0


def gini(hours_C: NDArray[np.float64]) -> float:
    """Gini coefficient of the clusters' hours: 0 all speak equally, near 1 one speaks all."""
    ordered = np.sort(hours_C)
    count = len(ordered)
    if count == 0 or ordered.sum() <= 0:
        return 0.0
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def top_share(hours_C: NDArray[np.float64]) -> float:
    """Share of the hours of the most talkative 1 % of the clusters (at least one)."""
    count = max(1, round(len(hours_C) / 100))
    return float(np.sort(hours_C)[-count:].sum() / hours_C.sum()) if hours_C.sum() > 0 else 0.0


def _prepared(manifest: pd.DataFrame, verdicts: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    columns = ["clip", "split", "group", "speaker", "language", "accent", "gender", "age", "label"]
    table = manifest[columns].copy()
    table["age"] = table["age"].map(age_band)
    for axis in ("language", "accent", "gender", "age", "label"):
        table[axis] = table[axis].astype("string").fillna(UNKNOWN)
    table["hours"] = (manifest["end_s"] - manifest["start_s"]) / 3600
    table = table.merge(selection[["clip", "keep"]], on="clip", validate="1:1")
    return table.merge(verdicts[["clip", "verdict"]], on="clip", validate="1:1")


def _axis_rows(table: pd.DataFrame, axis: str, cells: pd.Series[str], params: AuditParams) -> pd.DataFrame:
    kept, train, test = table["keep"], table["split"] == "train", table["split"] == "test"
    grouped = table.assign(
        cell=cells,
        kept_hours=table["hours"].where(kept, 0.0),
        train_hours=table["hours"].where(kept & train, 0.0),
        test_speaker=table["group"].where(kept & test),
    ).groupby("cell", sort=True)
    rows = grouped.agg(
        clips=("clip", "size"), hours=("hours", "sum"), speakers=("speaker", "nunique"), clusters=("group", "nunique"),
        kept_clips=("keep", "sum"), kept_hours=("kept_hours", "sum"), train_hours=("train_hours", "sum"),
        test_speakers=("test_speaker", "nunique"),
    ).reset_index()  # fmt: skip
    hours_CG = table.pivot_table(index="group", columns=cells, values="hours", aggfunc="sum", fill_value=0.0)
    wanted = params.representation
    low, high = share_intervals(hours_CG[rows["cell"]].to_numpy(), wanted.bootstrap_samples, wanted.seed)
    rows["axis"] = axis
    rows["share"] = rows["hours"] / max(float(rows["hours"].sum()), 1e-12)
    rows["share_low"], rows["share_high"] = low, high
    rows["keep_rate"] = rows["kept_clips"] / rows["clips"]
    rows["assessable"] = (rows["clusters"] >= params.assessable.speakers) & (rows["clips"] >= params.assessable.clips)
    best = rows.loc[rows["assessable"], "keep_rate"].max() if rows["assessable"].any() else np.nan
    rows["keep_ratio"] = (rows["keep_rate"] / best).where(rows["assessable"] & (best > 0))
    rows["dominant"] = _dominant(rows, wanted.max_share)
    rows["disparity"] = (rows["keep_ratio"] < wanted.min_keep_ratio).fillna(value=False)
    return rows[list(COLUMNS)]


def _dominant(rows: pd.DataFrame, max_share: float) -> pd.Series[bool]:
    """A known cell with more than `max_share` of the hours and at least twice those of the next known one."""
    known = rows["cell"] != UNKNOWN
    others = rows.loc[known, "hours"].sort_values(ascending=False)
    second = float(others.iloc[1]) if len(others) > 1 else np.inf
    return known & (rows["share"] > max_share) & (rows["hours"] >= 2 * second)


def axis_facts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Axis → what one line says of it: how much is disclosed, how varied, who dominates, who loses."""
    facts = {}
    for axis, rows in table.groupby("axis", sort=False):
        known = rows[rows["cell"] != UNKNOWN]
        hours = float(rows["hours"].sum())
        disclosed = float(known["hours"].sum())
        share_G = (known["hours"] / disclosed).to_numpy() if disclosed > 0 else np.zeros(0)
        facts[str(axis)] = {
            "cells": len(known),
            "disclosed_share": disclosed / hours if hours > 0 else 0.0,
            "effective_groups": effective_groups(share_G),
            "smallest_share": float(share_G.min()) if len(share_G) else None,
            "dominant": dict(known.loc[known["dominant"], ["cell", "share"]].itertuples(index=False, name=None)),
            "disparity": rows.loc[rows["disparity"], "cell"].tolist(),
            "not_assessable": known.loc[~known["assessable"], "cell"].tolist(),
        }
    return facts


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in COLUMNS}).astype(COLUMNS)
