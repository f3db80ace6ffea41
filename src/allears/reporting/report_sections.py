"""Tables and figures of the report page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from allears.reporting.figures import curves as line_chart
from allears.reporting.figures import horizontal_bars
from allears.reporting.html import Column, figure, table, written

ARM_NAMES = {
    "pretrained": "pretrained", "scratch": "scratch", "random_frozen": "random, frozen", "random": "random",
    "majority": "most frequent class",
}  # fmt: skip
_WORKED_OUT = [
    Column(key="baseline_error", title="its error", kind="number"),
    Column(key="pretrained_error", title="pretrained", kind="number"),
    Column(
        key="gain", title="gain", kind="number", hint="error of the baseline minus error of the pretrained, in points"
    ),
    Column(key="interval", title="95 %", kind="number"),
]
_COUNTS = [
    Column(key="clips", title="clips", kind="count"),
    Column(key="speakers", title="speakers", kind="count"),
    Column(key="repetitions", title="seeds", kind="count"),
]


def comparison(evaluation: pd.DataFrame) -> Markup:
    """Gains over each baseline, over all clips."""
    rows = evaluation[evaluation["axis"] == "all"].sort_values(["target", "share", "baseline"])
    if rows.empty:
        return Markup()
    columns = [
        Column(key="target", title="target"),
        Column(key="share_text", title="labels"),
        Column(key="baseline_name", title="baseline"),
        *_WORKED_OUT,
        *_COUNTS,
        Column(key="note", title="", kind="flag"),
    ]
    return table(_shown(rows), columns)


def encoders(comparison: pd.DataFrame) -> Markup:
    """Gains over other encoders that were fine-tuned alike."""
    if comparison.empty:
        return Markup()
    columns = [
        Column(key="target", title="target"),
        Column(key="share_text", title="labels", kind="number"),
        Column(key="baseline", title="other encoder"),
        Column(key="baseline_error", title="its error", kind="number"),
        Column(key="pretrained_error", title="this one", kind="number"),
        *_WORKED_OUT[2:],
        *_COUNTS,
        Column(key="note", title="", kind="flag"),
    ]
    return table(_shown(comparison.sort_values(["baseline", "target", "share"])), columns)


def groups(evaluation: pd.DataFrame) -> Markup:
    """Gains over scratch by group, at the largest share of the labels."""
    rows = evaluation[(evaluation["axis"] != "all") & (evaluation["baseline"] == "scratch")]
    rows = rows[rows["share"] == rows["share"].max()].sort_values(["target", "axis", "cell"])
    if rows.empty:
        return Markup()
    columns = [
        Column(key="target", title="target"),
        Column(key="axis", title="axis"),
        Column(key="cell", title="group"),
        Column(key="baseline_error", title="scratch", kind="number"),
        *_WORKED_OUT[1:],
        *_COUNTS[:2],
        Column(key="note", title="", kind="flag"),
    ]
    shown = [row | ({} if row["assessable"] else {"gain": None, "interval": None}) for row in _shown(rows)]
    return table(shown, columns)


def share_plots(evaluation: pd.DataFrame) -> list[Markup]:
    """Error against share of the labels, a line an arm, a plot a target."""
    rows = evaluation[evaluation["axis"] == "all"]
    plots = []
    for target, part in rows.groupby("target"):
        of = part.drop_duplicates("share").sort_values("share")
        series = [("pretrained", _percents(of["share"]), _percents(of["pretrained_error"]))]
        for baseline, line in part.sort_values("share").groupby("baseline"):
            series.append((ARM_NAMES[str(baseline)], _percents(line["share"]), _percents(line["baseline_error"])))
        chart = line_chart(
            series, x_title="% of the labels", y_title="error, %", log_x=True, x_ticks=_percents(of["share"])
        )
        plots.append(figure(chart, f"{target}: error on held-out speakers by share of the labels; lower is better"))
    return plots


def gain_chart(rows: pd.DataFrame) -> go.Figure:
    """All gains of a comparison with their intervals, in points; right of zero pretraining helped."""
    return horizontal_bars(
        [
            f"{row['target']}, {written(row['share'], 'percent')}, {ARM_NAMES.get(row['baseline'], row['baseline'])}"
            for row in rows.to_dict("records")
        ],
        _percents(rows["gain"]),
        low=_percents(rows["low"]),
        high=_percents(rows["high"]),
        title="gain over the baseline, points (95 %)",
    )


def steps(found: pd.DataFrame) -> Markup:
    """Updates and seconds to scratch's best error on dev speakers."""
    if found.empty:
        return Markup()
    rows = found.assign(
        arm_name=found["arm"].map(ARM_NAMES),
        share_text=[written(share, "percent") for share in found["share"]],
        to_reach=[f"{100 * error:.1f} %" for error in found["best_scratch_error"]],
        best=[f"{100 * error:.1f} %" for error in found["best_error"]],
        step_text=["never" if pd.isna(count) else f"{int(count):,}" for count in found["steps"]],
    ).sort_values(["target", "share", "arm"])
    columns = [
        Column(key="target", title="target"),
        Column(key="share_text", title="labels"),
        Column(key="arm_name", title="arm"),
        Column(
            key="to_reach",
            title="to reach",
            kind="number",
            hint="scratch's best error on dev speakers, mean over seeds",
        ),
        Column(key="step_text", title="updates", kind="number"),
        Column(key="seconds", title="seconds", kind="seconds"),
        Column(key="best", title="its own best", kind="number"),
    ]
    return table(rows, columns)


def curve_plots(curves: pd.DataFrame) -> list[Markup]:
    """Mean dev error against updates, a line an arm at its chosen learning rate, a plot a target and share."""
    plots = []
    for (target, share), part in curves.groupby(["target", "share"]):
        series = [
            (ARM_NAMES[str(arm)], line["step"].tolist(), _percents(line["error"])) for arm, line in part.groupby("arm")
        ]
        chart = line_chart(series, x_title="updates", y_title="dev error, %")
        plots.append(figure(chart, f"{target}, {written(share, 'percent')} of the labels: error on dev speakers"))
    return plots


def probe(rows: pd.DataFrame) -> Markup:
    """Both arms at the layer that dev speakers chose for each, then every layer."""
    if rows.empty:
        return Markup()
    columns = [
        Column(key="target", title="target"),
        Column(key="share_text", title="labels"),
        Column(key="layer_text", title="layer", hint="0 is the input of the first block"),
        Column(key="baseline_error", title="random", kind="number"),
        *_WORKED_OUT[1:],
        Column(key="note", title="", kind="flag"),
    ]
    shown = _shown(rows.sort_values(["target", "share", "chosen", "layer"], ascending=[True, True, False, True]))
    for row in shown:
        row["_class"] = "total" if row["chosen"] else ""
        best = f"best on dev: {row['layer']} (random: {row['baseline_layer']})"
        row["layer_text"] = best if row["chosen"] else str(row["layer"])
    return table(shown, columns)


def probe_plots(rows: pd.DataFrame) -> list[Markup]:
    """Error by layer, pretrained and random, a plot a target and share."""
    plots = []
    for (target, share), part in rows[~rows["chosen"].astype(bool)].groupby(["target", "share"]) if len(rows) else ():
        of = part.sort_values("layer")
        series = [
            (name, of["layer"].tolist(), _percents(of[column]))
            for name, column in (("pretrained", "pretrained_error"), ("random", "baseline_error"))
        ]
        chart = line_chart(
            series, x_title="layer (0: input of the first block)", y_title="error, %", x_ticks=of["layer"].tolist()
        )
        plots.append(figure(chart, f"{target}, {written(share, 'percent')} of the labels: error of the probe by layer"))
    return plots


def training(pretrained: dict[str, Any]) -> Markup:
    """What was trained, on how much, how fast."""
    facts = [
        ("run", pretrained["run"]),
        ("objective", pretrained["objective"]),
        ("updates", written(pretrained["updates"], "count")),
        ("audio heard", written(pretrained["hours_heard"], "hours")),
        ("parameters", f"{pretrained['parameters'] / 1e6:.2f} M"),
    ]
    if speed := pretrained["metrics"].get("times_real_time"):
        facts.append(("speed", f"{speed:.0f} × real time"))
    columns = [Column(key="name", title=""), Column(key="value", title="")]
    return table([{"name": name, "value": value} for name, value in facts], columns)


def training_plots(events: Sequence[dict[str, Any]]) -> list[Markup]:
    """Each metric of the pretraining against hours heard."""
    measured = dict.fromkeys(name for event in events if event["kind"] == "metrics" for name in event["values"])
    accuracies = {name: name.replace("_", " ") for name in measured if name.endswith("_accuracy")}
    wanted = {"loss": "loss", **accuracies, "gradient_norm": "norm of the gradient"}
    plots = []
    for name, title in wanted.items():
        points = [
            (event["hours_heard"], event["values"][name])
            for event in events
            if event["kind"] == "metrics" and name in event["values"]
        ]
        if points:
            hours, values = zip(*points, strict=True)
            chart = line_chart([(title, hours, values)], x_title="hours heard", y_title=title)
            plots.append(figure(chart, f"{title}, by hours of audio heard", height_px=260))
    return plots


def _shown(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with rates as text, gains in points and the interval in one cell."""
    shown = []
    for record in rows.to_dict("records"):
        row: dict[str, Any] = {str(name): value for name, value in record.items()}
        row["share_text"] = written(row["share"], "percent")
        row["baseline_name"] = ARM_NAMES.get(str(row.get("baseline")), row.get("baseline"))
        row["interval"] = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
        row["gain"] = f"{100 * row['gain']:+.1f}"
        for name in ("baseline_error", "pretrained_error"):
            row[name] = f"{100 * row[name]:.1f} %"
        row["note"] = "" if row.get("assessable", True) else "not assessable"
        shown.append(row)
    return shown


def _percents(values: pd.Series[float]) -> list[float]:
    return [round(100 * float(value), 2) for value in values]
