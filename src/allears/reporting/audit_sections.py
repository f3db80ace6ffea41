"""Tables and figures of the audit's page, one function a section."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from allears.audit.measures import names_in_rows
from allears.reporting import audit_curation, figures, measure_words
from allears.reporting.html import Column, as_records, figure, table, written

MAX_ROWS = 25
MAX_BARS = 16
MAX_CELLS = 100  # of an axis; the others are in representation.parquet
_QUANTILES = (1, 25, 50, 75, 99)
_REASON_COLUMNS = (
    Column(key="reason", title="reason", kind="code"), Column(key="meaning", title="what it means"),
    Column(key="verdict", title="verdict"), Column(key="clips", title="clips", kind="count"),
    Column(key="hours", title="hours", kind="hours"),
    Column(key="counted", title="counted once", kind="count", hint="under its first reason: adds up to all clips"),
    Column(key="train", title="of train", kind="count"), Column(key="dev", title="of dev", kind="count"),
    Column(key="test", title="of test", kind="count"),
)  # fmt: skip
_SPLIT_COLUMNS = (
    Column(key="split", title="split"), Column(key="clips", title="clips", kind="count"),
    Column(key="hours", title="hours", kind="hours"), Column(key="groups", title="speakers*", kind="count",
    hint="else sessions, else recordings"), Column(key="selected_clips", title="selected clips", kind="count"),
    Column(key="selected_hours", title="hours", kind="hours"),
    Column(key="selected_groups", title="speakers*", kind="count"), Column(key="soft", title="soft", kind="count"),
    Column(key="hard", title="hard", kind="count"),
)  # fmt: skip
_CELL_COLUMNS = (
    Column(key="cell", title="group"), Column(key="flag", title="", kind="flag"),
    Column(key="clips", title="clips", kind="count"), Column(key="hours", title="hours", kind="hours"),
    Column(key="people", title="speakers*", kind="count"),
    Column(key="share", title="of the hours", kind="percent"),
    Column(key="interval", title="interval", kind="interval"),
    Column(key="train_hours", title="train, selected", kind="hours"),
    Column(key="test_speakers", title="in test*", kind="count"),
    Column(key="keep_rate", title="kept", kind="percent"),
    Column(key="top_speaker_share", title="top speaker*", kind="percent", hint="of the group's hours"),
    Column(key="gini", title="Gini", kind="decimal", hint="of the speakers' hours; 0: all speak equally long"),
)  # fmt: skip


def reasons(summary: dict[str, Any]) -> Markup:
    """Every clip in one row, and the sum of them."""
    splits = summary["splits"]
    rows = [{"reason": "kept", "meaning": "no reason against it", "verdict": "keep"} | _kept(summary)]
    rows += audit_curation.reason_rows(summary)
    rows += [
        {"reason": name, "meaning": facts["means"], **facts, **facts["counted_splits"]}
        for name, facts in summary["reasons"].items()
    ]
    total = {name: splits[name]["clips"] for name in splits}
    every = summary["total"]
    rows.append(
        {
            "reason": "all",
            "meaning": "",
            "verdict": "",
            "clips": None,
            "counted": every["clips"],
            "hours": every["hours"],
        }
        | total
    )
    return table(rows, _REASON_COLUMNS, foot=True)


def splits(summary: dict[str, Any]) -> Markup:
    """Train, dev, test: before and after."""
    return table([{"split": name} | facts for name, facts in summary["splits"].items()], _SPLIT_COLUMNS)


def quarantine(summary: dict[str, Any]) -> Markup | None:
    """Rows that never became clips, by reason."""
    if not summary["quarantine"]:
        return None
    rows = [{"reason": name, "rows": count} for name, count in summary["quarantine"].items()]
    return table(
        rows, (Column(key="reason", title="reason", kind="code"), Column(key="rows", title="rows", kind="count"))
    )


def axes(representation: pd.DataFrame, facts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A figure, a line and a table for each axis of which anything is known; crossed axes as folded tables."""
    shown = []
    for axis, rows in representation.groupby("axis", sort=False):
        if facts[str(axis)]["disclosed_share"] == 0:
            continue
        crossed = " × " in str(axis)
        ordered = rows.sort_values("hours", ascending=False)
        few = len(ordered) <= 12
        plot = None
        if not crossed and len(ordered) > 1:
            caption = f"Share of the hours by {axis}. Grey: unknown, or too small to assess; orange: dominant"
            plot = figure(_share_figure(ordered), caption, height_px=70 + 28 * min(len(ordered), MAX_BARS))
        shown.append(
            {
                "name": str(axis).capitalize(),
                "line": _axis_line(facts[str(axis)]),
                "figure": plot,
                "table": table(_cell_rows(ordered.head(MAX_CELLS)), _CELL_COLUMNS),
                "open": few and not crossed,
                "rows": len(ordered),
                "shown": min(len(ordered), MAX_CELLS),
            }
        )
    return shown


def unknown_axes(facts: dict[str, dict[str, Any]]) -> list[str]:
    """Axes of which nothing is known."""
    return [axis for axis, fact in facts.items() if fact["disclosed_share"] == 0 and " × " not in axis]


def quality(clips: pd.DataFrame) -> Markup:
    """Quantiles of each measure, by split."""
    rows = []
    for name in (each for each in names_in_rows() if each in clips):
        values = clips[name].dropna()
        if len(values):
            marks = values.quantile([percent / 100 for percent in _QUANTILES])
            quantiles = {f"q{percent}": value for percent, value in zip(_QUANTILES, marks, strict=True)}
            rows.append({"measure": measure_words.title(name)} | quantiles)
    columns = [Column(key="measure", title="measure")]
    columns += [Column(key=f"q{q}", title="median" if q == 50 else f"{q} %", kind="measure") for q in _QUANTILES]
    return table(rows, columns)


def copies(duplicates: pd.DataFrame, manifest: pd.DataFrame) -> Markup | None:
    """The first pairs: which copy, of which clip, how alike."""
    if duplicates.empty:
        return None
    path_of = dict(zip(manifest["clip"], manifest["path"], strict=True))
    rows = duplicates.head(MAX_ROWS).assign(
        copy=duplicates["clip"].map(path_of), original=duplicates["duplicate_of"].map(path_of)
    )
    return table(
        rows,
        (
            Column(key="copy", title="left out", kind="path"), Column(key="kind", title="same by"),
            Column(key="original", title="stays", kind="path"),
            Column(key="bit_error", title="bits that differ", kind="percent", hint="of the fingerprint"),
            Column(key="correlation", title="correlation", kind="measure", hint="of the waveforms, at least"),
        ),
    )  # fmt: skip


def licences(summary: dict[str, Any]) -> Markup:
    """What each licence contributes."""
    return table(
        [row | {"from": ", ".join(row["sources"])} for row in summary["licences"]],
        (
            Column(key="licence", title="licence", kind="code"), Column(key="from", title="sources"),
            Column(key="clips", title="clips", kind="count"), Column(key="hours", title="hours", kind="hours"),
            Column(key="selected_clips", title="selected clips", kind="count"),
        ),
    )  # fmt: skip


def _kept(summary: dict[str, Any]) -> dict[str, Any]:
    """What has no reason against it, neither of the policy nor of the curation."""
    left_out = summary["curation"].values()
    clips = summary["verdicts"]["keep"]["clips"] - sum(facts["counted"] for facts in left_out)
    hours = summary["verdicts"]["keep"]["hours"] - sum(facts["counted_hours"] for facts in left_out)
    in_split = {
        name: facts["keep"] - sum(each["counted_splits"][name] for each in left_out)
        for name, facts in summary["splits"].items()
    }
    return {"clips": clips, "hours": hours, "counted": clips} | in_split


def _axis_line(fact: dict[str, Any]) -> str:
    known = f"Known for {written(fact['disclosed_share'], 'percent')} of the hours"
    groups, few = fact["cells"], len(fact["not_assessable"])
    if groups == 1:
        return f"{known}; one group only{', too small to assess a gap' if few else ''}."
    between = f"95 %: {fact['effective_low']:.1f} to {fact['effective_high']:.1f}"
    varied = f"as varied as {fact['effective_groups']:.1f} equal groups ({between}; there are {groups})"
    small = f"; {'all' if few == groups else few} of them too small to assess a gap" if few else ""
    return f"{known}; {varied}{small}."


def _cell_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    shown = []
    for row in as_records(rows):
        words = [("dominant", row["dominant"]), ("lacking", row["clips"] == 0), ("too few", not row["assessable"])]
        flag = next((word for word, on in words if on), "")
        shown.append(
            row
            | {"people": row["clusters"], "interval": (row["share_low"], row["share_high"])}
            | {"flag": flag, "_class": "" if row["assessable"] else "faint"}
        )
    return shown


def _share_figure(rows: pd.DataFrame) -> Any:
    top = rows.head(MAX_BARS)
    colours = [
        figures.ORANGE if dominant else figures.GREY if cell == "unknown" or not assessable else figures.BLUE
        for cell, dominant, assessable in zip(top["cell"], top["dominant"], top["assessable"], strict=True)
    ]
    hover = [
        f"{row.cell}: {written(row.hours, 'hours')}, {row.clips:,} clips, {row.clusters:,} speakers"
        for row in top.itertuples()
    ]
    return figures.horizontal_bars(
        top["cell"].tolist(), top["share"].tolist(), low=top["share_low"].tolist(), high=top["share_high"].tolist(),
        colours=colours, hover=hover, percent=True,
    )  # fmt: skip
