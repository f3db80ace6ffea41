"""Before and after: what the audit and the curation make of the training split, axis by axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit.concentration import effective_groups, effective_size
from allears.audit.groups import Axis, axes_of, axis, clusters_of, hours_of, in_order_of
from allears.params.audit import AuditParams

STAGES = ("before", "policy", "curation")
COLUMNS = {
    "axis": "string", "cell": "string", "stage": "string", "clips": "int64", "hours": "float64", "speakers": "int64",
    "epoch_hours": "float64", "share": "float64", "effective_groups": "float64", "effective_clips": "float64",
}  # fmt: skip
Floats = NDArray[np.float64]


def before_and_after(manifest: pd.DataFrame, selection: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """The training split before the audit, after the policy and after the curation: a row for each stage of each axis
    (`cell` null) and of each of its cells (COLUMNS).

    `hours` are of different audio, `epoch_hours` what an epoch hears (hours x weight); `share` is of these.
    `effective_groups` is of the known cells' shares; `effective_clips` is Kish's effective sample size of the weights.
    `speakers` are clusters: speakers, else sessions, else recordings.
    """
    selection = in_order_of(manifest, selection, "the selection")
    trained_N = (manifest["split"] == "train").to_numpy(dtype=bool)
    rows, chosen = manifest.loc[trained_N], selection.loc[trained_N]
    weights = {
        "before": np.ones(len(rows)),
        "policy": (chosen["reason"] != "policy").to_numpy(dtype=np.float64),
        "curation": chosen["weight"].to_numpy(dtype=np.float64),
    }
    axes = list(axes_of(rows, params.representation))
    curated = params.curation.axis
    if curated is not None and curated not in [each.name for each in axes]:
        axes.insert(0, axis(rows, curated))
    cluster_N, hours_N = clusters_of(rows).cluster_N, hours_of(rows)
    tables = [_stage(each, weights[stage], cluster_N, hours_N).assign(stage=stage) for each in axes for stage in STAGES]
    if not tables:
        return pd.DataFrame({name: [] for name in COLUMNS}).astype(COLUMNS)
    return pd.concat(tables, ignore_index=True).reindex(columns=list(COLUMNS)).astype(COLUMNS)


def _stage(axis: Axis, weight_N: Floats, cluster_N: NDArray[np.int64], hours_N: Floats) -> pd.DataFrame:
    heard_N = weight_N > 0
    rows = pd.DataFrame({"axis": axis.name, "cell": list(axis.cells)})
    rows["clips"] = axis.sums(heard_N).astype(np.int64)
    rows["hours"] = axis.sums(np.where(heard_N, hours_N, 0.0))
    rows["speakers"] = axis.distinct(cluster_N, heard_N)
    rows["epoch_hours"] = axis.sums(hours_N * weight_N)
    rows["share"] = rows["epoch_hours"] / max(float(rows["epoch_hours"].sum()), 1e-12)
    squares = axis.sums(np.square(weight_N))
    rows["effective_clips"] = np.square(axis.sums(weight_N)) / np.where(squares > 0, squares, 1.0)
    known_hours = rows["epoch_hours"].to_numpy()[axis.known]
    whole = {
        "axis": axis.name,
        "speakers": len(np.unique(cluster_N[heard_N])),
        "effective_groups": float(effective_groups(known_hours)) if known_hours.sum() > 0 else 0.0,
        "effective_clips": effective_size(weight_N),
    } | {name: rows[name].sum() for name in ("clips", "hours", "epoch_hours", "share")}
    return pd.concat([pd.DataFrame([whole]), rows], ignore_index=True)
