"""Sections of the audit's page about people: how far from a target, what was removed and from whom."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from allears.audit.disparity import ANY
from allears.audit.groups import CROSS
from allears.reporting.html import Column, as_records, table

MAX_GROUPS = 25
_WARNING_COLUMNS = (
    Column(key="verdict", title="", kind="flag"), Column(key="axis", title="axis"), Column(key="cell", title="group"),
    Column(key="reason", title="filter", kind="code"), Column(key="removed", title="removes", kind="percent"),
    Column(key="best", title="best kept group"), Column(key="best_removed", title="removes", kind="percent"),
    Column(key="keep_ratio", title="keep ratio", kind="decimal"),
    Column(key="interval", title="interval", kind="number", hint="95 %, speakers drawn with replacement"),
)  # fmt: skip
_BALANCE_COLUMNS = (
    Column(key="axis", title="axis"), Column(key="cells", title="groups", kind="count"),
    Column(key="disclosed_share", title="known", kind="percent", hint="of the hours"),
    Column(key="effective", title="effective groups", kind="number", hint="as varied as so many equal groups; 95 %"),
    Column(key="smallest_share", title="smallest", kind="percent", hint="of the known hours"),
    Column(key="target", title="target"),
    Column(key="kl", title="KL, bits", kind="number", hint="∞: groups that the target has not"),
    Column(key="js_text", title="JS, bits", kind="number", hint="0: the target's shares, 1: nothing in common; 95 %"),
)  # fmt: skip
_TARGET_COLUMNS = (
    Column(key="axis", title="axis"), Column(key="cell", title="group"),
    Column(key="known_share", title="of the known hours", kind="percent"),
    Column(key="target_share", title="target", kind="percent"),
    Column(key="gap", title="difference", kind="number", hint="percentage points"),
)  # fmt: skip


def balance(facts: dict[str, dict[str, Any]]) -> Markup | None:
    """How varied each axis is, and how far from its target."""
    rows = []
    for axis, fact in facts.items():
        if fact["cells"]:
            kl = "" if fact["target"] is None else "∞" if fact["kl"] is None else f"{fact['kl']:.3f}"
            effective = f"{fact['effective_groups']:.1f} {_between(fact['effective_low'], fact['effective_high'], 1)}"
            js = "" if fact["js"] is None else f"{fact['js']:.3f} {_between(fact['js_low'], fact['js_high'], 3)}"
            rows.append(fact | {"axis": axis, "effective": effective, "js_text": js, "kl": kl})
    columns = _BALANCE_COLUMNS if any(row["target"] for row in rows) else _BALANCE_COLUMNS[:5]
    return table(rows, columns) if rows else None


def against_target(representation: pd.DataFrame) -> Markup | None:
    """The groups furthest from their target's share, those that the corpus lacks among them."""
    rows = representation[representation["target_share"].notna() & (representation["cell"] != "unknown")]
    if rows.empty:
        return None
    gap = rows["known_share"] - rows["target_share"]
    rows = rows.loc[gap.abs().sort_values(ascending=False, kind="stable").index].head(MAX_GROUPS)
    return table(rows.assign(gap=[f"{100 * value:+.1f}" for value in gap[rows.index]]), _TARGET_COLUMNS)


def disparity_line(disparity: pd.DataFrame, warnings: list[dict[str, Any]], min_keep_ratio: float) -> str:
    """What the table below says, in a sentence."""
    if not disparity["assessable"].any():
        return "No group is large enough to judge whether a filter takes more from it than from others."
    if not warnings:
        return f"No filter keeps an assessable group less than {min_keep_ratio} times as often as the best kept one."
    sure = sum(row["warned"] for row in warnings)
    return (
        f"{len(warnings):,} times a filter keeps a group less than {min_keep_ratio} times as often as the best kept "
        f"one; in {sure:,} of them the interval excludes chance."
    )


def disparity_warnings(warnings: list[dict[str, Any]]) -> Markup | None:
    """Filter by group, the worst first."""
    rows = [
        row
        | {"verdict": "warned" if row["warned"] else "possibly", "_class": "" if row["warned"] else "faint"}
        | {"removed": 1 - row["keep_rate"], "best_removed": 1 - row["best_keep_rate"]}
        | {"interval": _between(row["low"], row["high"])}
        for row in warnings[:MAX_GROUPS]
    ]
    return table(rows, _WARNING_COLUMNS) if rows else None


def removed(disparity: pd.DataFrame) -> list[dict[str, Any]]:
    """For each axis: how much of each group each filter removes; the largest groups."""
    shown = []
    for axis, part in disparity.groupby("axis", sort=False):
        if CROSS in str(axis):
            continue
        reasons = [str(reason) for reason in part["reason"].unique() if reason != ANY]
        wide = part.assign(removed=1 - part["keep_rate"]).pivot_table(index="cell", columns="reason", values="removed")
        sizes = part.drop_duplicates("cell").set_index("cell")["clips"].sort_values(ascending=False, kind="stable")
        small = set(part.loc[~part["assessable"], "cell"])
        rows = [
            row | {"clips": sizes[row["cell"]], "_class": "faint" if row["cell"] in small else ""}
            for row in as_records(wide.loc[sizes.index[:MAX_GROUPS]].reset_index())
        ]
        columns = [Column(key="cell", title="group"), Column(key="clips", title="clips", kind="count")]
        columns += [Column(key=reason, title=reason, kind="percent") for reason in reasons]
        columns.append(Column(key=ANY, title="all together", kind="percent"))
        more = f" (the largest {MAX_GROUPS} of {len(sizes)})" if len(sizes) > MAX_GROUPS else ""
        shown.append({"name": f"{str(axis).capitalize()}{more}", "table": table(rows, columns)})
    return shown


def _between(low: Any, high: Any, digits: int = 2) -> str:
    if low is None or high is None or pd.isna(low):
        return ""
    return f"({low:.{digits}f}–{high:.{digits}f})"
