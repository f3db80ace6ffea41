"""The section of the audit's page about the training split before and after policy and curation."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from allears.audit.curation import MEANINGS
from allears.audit.curation_table import STAGES
from allears.audit.groups import CROSS
from allears.params.audit import CurationParams
from allears.reporting.html import Column, table, written

MAX_GROUPS = 25
_TITLES = {"before": "before the audit", "policy": "after the policy", "curation": "after the curation"}
_VALUES = ("hours", "speakers", "share", "effective_clips")
_WHOLE_COLUMNS = (
    Column(key="stage", title="training split"), Column(key="clips", title="clips", kind="count"),
    Column(key="hours", title="hours", kind="hours"), Column(key="speakers", title="speakers*", kind="count"),
    Column(key="epoch_hours", title="heard an epoch", kind="hours", hint="hours times weight"),
    Column(key="effective_clips", title="effective clips", kind="count", hint="of the weights (Kish)"),
)  # fmt: skip


def whole(curated: pd.DataFrame) -> Markup | None:
    """The training split at each stage, and the effective groups of each axis."""
    totals = curated[curated["cell"].isna() & ~curated["axis"].str.contains(CROSS, regex=False)]
    if totals.empty:
        return None
    axes = [
        axis for axis in totals["axis"].unique() if totals.loc[totals["axis"] == axis, "effective_groups"].max() > 0
    ]
    rows = totals[totals["axis"] == totals["axis"].iloc[0]].assign(stage=lambda each: each["stage"].map(_TITLES))
    columns = list(_WHOLE_COLUMNS)
    for axis in axes:
        rows = rows.assign(**{f"groups_{axis}": totals.loc[totals["axis"] == axis, "effective_groups"].to_numpy()})
        columns.append(Column(key=f"groups_{axis}", title=f"groups by {axis}", kind="decimal", hint="effective number"))
    return table(rows, columns)


def by_axis(curated: pd.DataFrame) -> list[dict[str, Any]]:
    """For each axis: hours, speakers and share of each group at each stage; the largest groups."""
    shown = []
    for axis, part in curated[curated["cell"].notna()].groupby("axis", sort=False):
        if CROSS in str(axis) or set(part["cell"]) == {"unknown"}:
            continue
        stages = [
            part[part["stage"] == stage].set_index("cell")[list(_VALUES)].add_suffix(f"_{stage}") for stage in STAGES
        ]
        wide = pd.concat(stages, axis=1).sort_values("hours_before", ascending=False, kind="stable").reset_index()
        more = f" (the largest {MAX_GROUPS} of {len(wide)})" if len(wide) > MAX_GROUPS else ""
        shown.append(
            {"name": f"{str(axis).capitalize()}{more}", "table": table(wide.head(MAX_GROUPS), _cell_columns())}
        )
    return shown


def line(params: CurationParams) -> str:
    """What the curation was asked to do."""
    parts = []
    if params.axis is not None and params.target is not None:
        parts.append(f"the shares of {params.axis} are to be those of {params.target}")
    elif params.axis is not None:
        parts.append(f"the shares of {params.axis} become p^{params.alpha:g}")
    if params.speaker_max_hours is not None:
        parts.append(f"a speaker has at most {written(params.speaker_max_hours, 'hours')}")
    if params.budget_hours is not None:
        parts.append(f"the budget is {written(params.budget_hours, 'hours')}, filled with the best clips of each group")
    if not parts:
        return "No curation is asked for: what the policy keeps is heard once an epoch."
    return f"Asked for: {'; '.join(parts)}; no clip more than {params.max_repeat:g} times an epoch."


def reason_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What the curation left out, as rows of the table of reasons."""
    return [
        {"reason": name, "meaning": MEANINGS[name], "verdict": "curation", **facts, **facts["counted_splits"]}
        for name, facts in summary["curation"].items()
    ]


def _cell_columns() -> list[Column]:
    columns = [Column(key="cell", title="group")]
    for stage in STAGES:
        columns += [
            Column(key=f"hours_{stage}", title=f"hours {_TITLES[stage]}", kind="hours"),
            Column(key=f"share_{stage}", title="share", kind="percent"),
            Column(key=f"speakers_{stage}", title="speakers*", kind="count"),
        ]
    return [*columns, Column(key="effective_clips_curation", title="effective clips", kind="count")]
