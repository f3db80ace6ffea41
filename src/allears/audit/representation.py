"""Whom a corpus has: hours, clips and speakers of every group, shares with intervals, how far from a target.

Legend: `C` clusters (speakers, else sessions, else recordings), `G` cells of an axis, `S` bootstrap samples. Unknown is
a cell of its own in every table; nothing is inferred about a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from allears.audit import resampling
from allears.audit.concentration import effective_groups, gini
from allears.audit.groups import (
    OTHERS,
    UNKNOWN,
    Axis,
    Clusters,
    Ints,
    Mask,
    axes_of,
    clusters_of,
    hours_of,
    in_order_of,
)
from allears.audit.targets import Target, js_divergence, kl_divergence
from allears.params.audit import AssessableParams, AuditParams

COLUMNS = {
    "axis": "string", "cell": "string", "clips": "int64", "hours": "float64", "speakers": "int64", "clusters": "int64",
    "share": "float64", "share_low": "float64", "share_high": "float64", "known_share": "float64",
    "target_share": "float64", "top_speaker_share": "float64", "gini": "float64", "kept_clips": "int64",
    "kept_hours": "float64", "keep_rate": "float64", "train_hours": "float64", "test_speakers": "int64",
    "assessable": "bool", "dominant": "bool",
}  # fmt: skip
AXIS_COLUMNS = {
    "axis": "string", "cells": "int64", "disclosed_share": "float64", "effective_groups": "float64",
    "effective_low": "float64", "effective_high": "float64", "smallest_share": "float64", "target": "string",
    "kl": "float64", "js": "float64", "js_low": "float64", "js_high": "float64",
}  # fmt: skip
Floats = NDArray[np.float64]


def represent(
    manifest: pd.DataFrame, selection: pd.DataFrame, targets: Mapping[str, Target], params: AuditParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a cell of each axis and each pair of crossed ones (COLUMNS), and a row an axis (AXIS_COLUMNS).

    `share` is of all hours, `known_share` of those whose group is known, which is what a target is compared with: a
    cell that only the target has is a row without clips. `kept` is what the policy keeps, `train` and `test` what is
    selected. An axis of more than MOST_CELLS has its smallest ones in one row, OTHERS, and in `effective_groups` they
    count as one. Intervals are 95 %, by a bootstrap over clusters; with few clusters that of the effective groups lies
    low and that of the divergence high, because a sample of them is less varied than they are.
    """
    wanted = params.representation
    counted = _counted(manifest, in_order_of(manifest, selection, "the selection"))
    axes = list(axes_of(manifest, wanted))
    sums = [counted.clusters.by_cell(axis, counted.hours_N) for axis in axes]
    if not axes:
        return _typed([], COLUMNS), _typed([], AXIS_COLUMNS)
    drawn_SG = resampling.resampled_sums(sparse.hstack(sums, format="csc"), wanted.bootstrap_samples, wanted.seed)
    parts = np.split(drawn_SG, np.cumsum([len(axis.cells) for axis in axes])[:-1], axis=1)
    cells, facts = [], []
    for axis, sums_CG, drawn in zip(axes, sums, parts, strict=True):
        target = targets.get(axis.name)
        rows = _counts(axis, counted)
        rows = rows.assign(**_shares(sums_CG, drawn), **_concentration(sums_CG))
        rows["known_share"] = rows["hours"].where(axis.known) / max(float(rows["hours"][axis.known].sum()), 1e-12)
        rows["assessable"] = is_assessable(rows["clusters"], rows["clips"], params.assessable)
        rows["dominant"] = _dominant(rows, wanted.max_share)
        cells.append(_with_target(rows, target))
        facts.append(_axis_row(axis, rows, drawn, target))
    return _typed(cells, COLUMNS), _typed([pd.DataFrame(facts)], AXIS_COLUMNS)


def is_assessable(clusters_G: pd.Series[int], clips_G: pd.Series[int], params: AssessableParams) -> pd.Series[bool]:
    """Whether a gap of a cell may be judged."""
    return (clusters_G >= params.speakers) & (clips_G >= params.clips)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted in each cell: `kept` by the policy, `train` and `test` selected."""

    clusters: Clusters
    speaker_N: Ints
    hours_N: Floats
    kept_N: Mask
    train_N: Mask
    test_N: Mask


def _counted(manifest: pd.DataFrame, selection: pd.DataFrame) -> _Counted:
    selected_N = selection["keep"].to_numpy(dtype=bool)
    return _Counted(
        clusters=clusters_of(manifest),
        speaker_N=pd.factorize(manifest["speaker"])[0].astype(np.int64),
        hours_N=hours_of(manifest),
        kept_N=(selection["reason"] != "policy").to_numpy(dtype=bool),
        train_N=selected_N & (manifest["split"] == "train").to_numpy(dtype=bool),
        test_N=selected_N & (manifest["split"] == "test").to_numpy(dtype=bool),
    )


def _counts(axis: Axis, counted: _Counted) -> pd.DataFrame:
    hours_N, cluster_N = counted.hours_N, counted.clusters.cluster_N
    rows = pd.DataFrame({"axis": axis.name, "cell": list(axis.cells)})
    rows["clips"] = np.bincount(axis.cell_N, minlength=len(axis.cells))
    rows["hours"] = axis.sums(hours_N)
    rows["speakers"] = axis.distinct(counted.speaker_N)
    rows["clusters"] = axis.distinct(cluster_N)
    rows["kept_clips"] = axis.sums(counted.kept_N).astype(np.int64)
    rows["kept_hours"] = axis.sums(hours_N * counted.kept_N)
    rows["keep_rate"] = rows["kept_clips"] / rows["clips"]
    rows["train_hours"] = axis.sums(hours_N * counted.train_N)
    rows["test_speakers"] = axis.distinct(cluster_N, counted.test_N)
    return rows


def _shares(sums_CG: sparse.csc_array, drawn_SG: Floats) -> dict[str, Floats]:
    hours_G = np.asarray(sums_CG.sum(axis=0)).ravel()
    low, high = resampling.interval(drawn_SG / np.maximum(drawn_SG.sum(axis=1, keepdims=True), 1e-12))
    return {"share": hours_G / max(hours_G.sum(), 1e-12), "share_low": low, "share_high": high}


def _concentration(sums_CG: sparse.csc_array) -> dict[str, list[float]]:
    """Per cell: the share of its hours that its most talkative cluster has, and the Gini coefficient of all of its."""
    columns = [sums_CG.data[first:last] for first, last in zip(sums_CG.indptr, sums_CG.indptr[1:], strict=False)]
    tops = [float(hours_C.max() / max(hours_C.sum(), 1e-12)) for hours_C in columns]
    return {"top_speaker_share": tops, "gini": [gini(hours_C) for hours_C in columns]}


def _with_target(rows: pd.DataFrame, target: Target | None) -> pd.DataFrame:
    """The rows with what the target wants of them, and those of which the corpus has nothing."""
    if target is None:
        return rows.assign(target_share=np.nan)
    cells = target.cells(rows["cell"].tolist())
    shares = dict(zip(cells, target.wanted(cells), strict=True))
    missing = pd.DataFrame({"axis": rows["axis"].iloc[0], "cell": sorted(set(cells) - set(rows["cell"]))})
    whole = pd.concat([rows, missing], ignore_index=True)
    whole["target_share"] = whole["cell"].map(shares)
    counts = ["clips", "hours", "speakers", "clusters", "kept_clips", "kept_hours", "train_hours", "test_speakers"]
    counts += ["share", "share_low", "share_high", "known_share"]
    lacks = whole["clips"].isna()
    whole.loc[lacks, counts] = 0
    whole[["assessable", "dominant"]] = whole[["assessable", "dominant"]].where(~lacks, other=False).astype(bool)
    return whole


def _axis_row(axis: Axis, rows: pd.DataFrame, drawn_SG: Floats, target: Target | None) -> dict[str, Any]:
    known = axis.known
    hours_G, drawn = rows["hours"].to_numpy()[known], drawn_SG[:, known]
    row = {
        "axis": axis.name,
        "cells": int(known.sum()),
        "disclosed_share": float(hours_G.sum() / max(float(rows["hours"].sum()), 1e-12)),
        "smallest_share": float(rows["known_share"].min()),
        "target": None if target is None else target.name,
    }
    if not known.any():
        return row | {"effective_groups": 0.0}
    low, high = resampling.interval(effective_groups(drawn))
    row |= {"effective_groups": float(effective_groups(hours_G)), "effective_low": low, "effective_high": high}
    if target is None:
        return row
    present = [cell for cell, is_known in zip(axis.cells, known, strict=True) if is_known]
    cells = target.cells(present)
    places = np.searchsorted(cells, present)
    target_G, all_G = target.wanted(cells), np.zeros((len(drawn) + 1, len(cells)))
    all_G[:, places] = np.vstack([hours_G, drawn])
    js_S = js_divergence(all_G, target_G)
    low, high = resampling.interval(js_S[1:])
    return row | {"kl": kl_divergence(all_G[0], target_G), "js": js_S[0], "js_low": low, "js_high": high}


def _dominant(rows: pd.DataFrame, max_share: float) -> pd.Series[bool]:
    """A known cell with more than `max_share` of the hours and at least twice those of the next known one."""
    known = ~rows["cell"].isin([UNKNOWN, OTHERS])
    others = rows.loc[known, "hours"].sort_values(ascending=False)
    second = float(others.iloc[1]) if len(others) > 1 else np.inf
    return known & (rows["share"] > max_share) & (rows["hours"] >= 2 * second)


def _typed(tables: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame({name: [] for name in columns}).astype(columns)
    return pd.concat(tables, ignore_index=True).reindex(columns=list(columns)).astype(columns)
