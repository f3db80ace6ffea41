"""Plotly figures that several pages share. Text and grid take the page's colours when drawn (see `base.html`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

# Okabe & Ito 2008: told apart by colour-blind readers, on light and on dark
BLUE, ORANGE, GREEN, RED, GREY, SKY, PINK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8f98", "#56B4E9", "#CC79A7",
)  # fmt: skip
BINS = 48
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PINK, GREY)


def horizontal_bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    colours: Sequence[str] | str = BLUE,
    hover: Sequence[str] | None = None,
    title: str = "",
    percent: bool = False,
) -> go.Figure:
    """A bar a name, the first on top, with asymmetric error bars where `low` and `high` are given."""
    error = None
    if low is not None and high is not None:
        error = {
            "type": "data",
            "symmetric": False,
            "array": [top - value for top, value in zip(high, values, strict=True)],
            "arrayminus": [value - bottom for bottom, value in zip(low, values, strict=True)],
            "thickness": 1.3,
            "width": 3,
        }
    bar = go.Bar(
        y=list(names), x=list(values), orientation="h", marker_color=colours, error_x=error,
        hovertext=list(hover) if hover is not None else None, hoverinfo="text" if hover is not None else None,
    )  # fmt: skip
    axis: dict[str, Any] = {"title": title, "rangemode": "tozero", "fixedrange": True}
    if percent:
        axis["tickformat"] = ".0%"
    return go.Figure(
        bar,
        layout=_layout(
            xaxis=axis,
            yaxis={
                "autorange": "reversed",
                "automargin": True,
                "fixedrange": True,
                "showgrid": False,
                "type": "category",
            },
        ),
    )


def stacked_bars(
    names: Sequence[str], parts: Sequence[tuple[str, Sequence[float], str]], *, title: str = ""
) -> go.Figure:
    """Horizontal bars of stacked parts (name, values, colour)."""
    bars = [go.Bar(y=list(names), x=list(values), name=part, orientation="h", marker_color=colour)
            for part, values, colour in parts]  # fmt: skip
    layout = _layout(
        xaxis={"title": title, "fixedrange": True},
        yaxis={"autorange": "reversed", "automargin": True, "fixedrange": True, "showgrid": False, "type": "category"},
    )
    return go.Figure(bars, layout=layout | {"barmode": "stack", "showlegend": True})


def histogram(
    values: NDArray[np.float64],
    *,
    title: str,
    cuts: Sequence[tuple[float, str]] = (),
    percent: bool = False,
) -> go.Figure:
    """Counts of `values` (NaN left out), binned here: the page stays small. A dashed, named line at each of `cuts`.

    `percent`: they are shares.
    """
    known = values[np.isfinite(values)]
    counts, edges = np.histogram(known, bins=BINS) if len(known) else (np.zeros(1), np.array([0.0, 1.0]))
    middle = (edges[:-1] + edges[1:]) / 2
    shown = go.Figure(
        go.Bar(
            x=middle.tolist(), y=counts.tolist(), width=np.diff(edges).tolist(), marker_color=BLUE,
            hovertemplate=f"%{{x:{'.3~%' if percent else '.4g'}}}: %{{y}} clips<extra></extra>",
        ),
        layout=_layout(
            xaxis={"title": title, "fixedrange": True} | ({"tickformat": ".3~%"} if percent else {}),
            yaxis={"title": "clips", "fixedrange": True, "rangemode": "tozero"},
        )
        | {"bargap": 0},
    )  # fmt: skip
    inside = sorted(cut for cut in cuts if len(known) and edges[0] <= cut[0] <= edges[-1])
    for number, (cut, name) in enumerate(inside):
        right = 2 * cut <= edges[0] + edges[-1]
        shown.add_vline(
            x=cut, line_dash="dash", line_color=RED, annotation_text=name, annotation_font_color=RED,
            annotation_yshift=-14 * number,  # one under the other: cuts may lie close
            annotation_position="top right" if right else "top left", annotation_xshift=4 if right else -4,
        )  # fmt: skip
    return shown


def curves(
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    *,
    x_title: str,
    y_title: str,
    log_x: bool = False,
    x_ticks: Sequence[float] | None = None,
) -> go.Figure:
    """Lines (name, x, y) in the palette's order. `x_ticks`: where x has marks, None: where plotly puts them."""
    lines = [
        go.Scatter(x=list(x), y=list(y), name=name, mode="lines+markers", line_color=PALETTE[i % len(PALETTE)])
        for i, (name, x, y) in enumerate(series)
    ]
    xaxis: dict[str, Any] = {"title": x_title, "type": "log" if log_x else "linear"}
    if x_ticks is not None:
        xaxis |= {"tickvals": list(x_ticks), "ticktext": [f"{tick:g}" for tick in x_ticks]}
    layout = _layout(xaxis=xaxis, yaxis={"title": y_title})
    return go.Figure(lines, layout=layout | {"showlegend": len(lines) > 1})


def _layout(*, xaxis: dict[str, Any], yaxis: dict[str, Any]) -> dict[str, Any]:
    return {
        "template": "none",
        "margin": {"l": 48, "r": 16, "t": 24, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {"zeroline": False, "automargin": True} | xaxis,
        "yaxis": {"zeroline": False, "automargin": True} | yaxis,
    }
