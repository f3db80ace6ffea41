"""Filter disparity: what each filter removes, and from whom.

A fixed cut-off may take one group away: a noise filter those who record at home, a bandwidth filter those who phone.
Legend as in `representation.py`; a filter is a reason of the policy, licences and duplicates included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from allears.audit import resampling
from allears.audit.groups import Axis, Clusters, Mask, axes_of, clusters_of, in_order_of, reason_masks
from allears.audit.representation import is_assessable
from allears.params.audit import AuditParams

ANY = "any"  # all filters together
COLUMNS = {
    "axis": "string", "cell": "string", "reason": "string", "clips": "int64", "removed": "int64",
    "keep_rate": "float64", "best": "string", "best_keep_rate": "float64", "keep_ratio": "float64", "low": "float64",
    "high": "float64", "assessable": "bool", "warned": "bool",
}  # fmt: skip
Floats = NDArray[np.float64]


def disparity(
    manifest: pd.DataFrame, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams
) -> pd.DataFrame:
    """A row for each cell of each axis and each filter that removed a clip, and ANY (COLUMNS).

    `keep_ratio`: the keep rate over that of `best`, the assessable cell of the axis that the filter keeps most of (of
    equals the largest); null where the cell is not assessable. Its 95 % interval (`low`, `high`) is a bootstrap over
    clusters of the ratio of these two cells. `warned`: ratio and interval are under `min_keep_ratio`. A clip with
    several reasons is removed by each of them; one that is kept in spite of a reason is not removed.
    """
    verdicts = in_order_of(manifest, verdicts, "the table of verdicts")
    selection = in_order_of(manifest, selection, "the selection")
    removed_N = (selection["reason"] == "policy").to_numpy(dtype=bool)
    masks = {reason: mask & removed_N for reason, mask in reason_masks(verdicts["reasons"]).items()}
    filters = {ANY: removed_N} | {reason: mask for reason, mask in masks.items() if mask.any()}
    clusters = clusters_of(manifest)
    axes = [axis for axis in axes_of(manifest, params.representation) if axis.known.any()]
    counted = [_counted(axis, clusters, filters, params) for axis in axes]
    if not counted:
        return pd.DataFrame({name: [] for name in COLUMNS}).astype(COLUMNS)
    drawn_SK = resampling.resampled_sums(
        sparse.hstack([each.sums_CK for each in counted], format="csc"),
        params.representation.bootstrap_samples, params.representation.seed,
    )  # fmt: skip
    parts = np.split(drawn_SK, np.cumsum([each.sums_CK.shape[1] for each in counted])[:-1], axis=1)
    rows = [_ratios(each, drawn, params) for each, drawn in zip(counted, parts, strict=True)]
    return pd.concat(rows, ignore_index=True).reindex(columns=list(COLUMNS)).astype(COLUMNS)


@dataclass(frozen=True, slots=True)
class _Counted:
    """`rows`: filter by cell. `sums_CK`: of the assessable cells clips, then how many each filter removed."""

    rows: pd.DataFrame
    assessable_G: Mask
    sums_CK: sparse.csc_array


def _counted(axis: Axis, clusters: Clusters, filters: dict[str, Mask], params: AuditParams) -> _Counted:
    cells = pd.DataFrame({"axis": axis.name, "cell": list(axis.cells)})
    clips_CG = clusters.by_cell(axis, np.ones(len(axis.cell_N)))
    cells["clips"] = clips_CG.sum(axis=0)
    cells["assessable"] = is_assessable(pd.Series(np.diff(clips_CG.indptr)), cells["clips"], params.assessable)
    assessable = cells["assessable"].to_numpy(dtype=bool)
    rows, sums = [], [clips_CG[:, assessable]]
    for reason, mask in filters.items():
        removed = axis.sums(mask)
        rows.append(cells.assign(reason=reason, removed=removed, keep_rate=1 - removed / cells["clips"]))
        sums.append(clusters.by_cell(axis, np.ones(len(mask)), mask)[:, assessable])
    return _Counted(pd.concat(rows, ignore_index=True), assessable, sparse.hstack(sums, format="csc"))


def _ratios(counted: _Counted, drawn_SK: Floats, params: AuditParams) -> pd.DataFrame:
    rows, groups = counted.rows, int(counted.assessable_G.sum())
    if groups == 0:
        return rows.assign(keep_ratio=np.nan, low=np.nan, high=np.nan, warned=False)
    clips_SG, *removed = np.split(drawn_SK, drawn_SK.shape[1] // groups, axis=1)
    done = []
    for (_, part), removed_SG in zip(rows.groupby("reason", sort=False), removed, strict=True):
        judged = part[part["assessable"]]
        best = int(np.lexsort((-judged["clips"], -judged["keep_rate"]))[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            kept_SG = 1 - removed_SG / clips_SG
            ratio_SG = kept_SG / kept_SG[:, [best]]
            ratio_G = (judged["keep_rate"] / judged["keep_rate"].iloc[best]).replace(np.inf, np.nan)
        low, high = resampling.interval(np.where(np.isfinite(ratio_SG), ratio_SG, np.nan))
        judged = judged.assign(keep_ratio=ratio_G, low=low, high=high, best=judged["cell"].iloc[best])
        judged["best_keep_rate"] = judged["keep_rate"].iloc[best]
        done.append(part.join(judged[["keep_ratio", "low", "high", "best", "best_keep_rate"]]))
    whole = pd.concat(done)
    ratio = params.representation.min_keep_ratio
    return whole.assign(warned=(whole["keep_ratio"] < ratio) & (whole["high"] < ratio))


def warnings(table: pd.DataFrame, params: AuditParams) -> list[dict[str, Any]]:
    """The rows under `min_keep_ratio`, the worst first; where the interval does not exclude it, `warned` is False."""
    low = table[table["keep_ratio"] < params.representation.min_keep_ratio].sort_values("keep_ratio", kind="stable")
    columns = ["axis", "cell", "reason", "keep_rate", "best", "best_keep_rate", "keep_ratio", "low", "high", "warned"]
    return [{str(name): value for name, value in row.items()} for row in low[columns].to_dict("records")]
