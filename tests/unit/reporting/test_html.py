from __future__ import annotations

import json
import re

import pandas as pd
import plotly.graph_objects as go
import pytest

from allears.reporting.html import Column, figure, page, table, written


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234567, "count", "1,234,567"),
        (2.876, "hours", "2.88 h"),
        (0.05, "hours", "3.0 min"),
        (0.0005, "hours", "1.8 s"),
        (0, "hours", "0.00 h"),
        (0.5, "percent", "50 %"),
        (1.0, "percent", "100 %"),
        (0.9951, "percent", "99.5 %"),
        (0.99999, "percent", "> 99.9 %"),
        (0.00001, "percent", "< 0.1 %"),
        (0.0, "percent", "0 %"),
        ((0.1, 0.25), "interval", "10–25 %"),
        (24000.0, "measure", "24,000"),
        (-32.561, "measure", "-32.6"),
        (0.00004, "measure", "≈ 0"),
        (None, "count", "–"),
        (float("nan"), "percent", "–"),
        (pd.NA, "text", "–"),
    ],
)
def test_values_are_written_for_people(value: object, kind: str, text: str) -> None:
    assert written(value, kind) == text  # type: ignore[arg-type]


def test_names_from_data_cannot_break_the_page() -> None:
    evil = "<script>alert(1)</script>"
    markup = table([{"name": evil, "_class": '"><b>'}], [Column(key="name", title=evil, hint='"x"')])
    assert "<script>" not in markup
    assert "<b>" not in markup


def test_a_figure_cannot_close_its_script() -> None:
    shown = figure(go.Figure(go.Bar(x=["</script><b>"], y=[1])), "caption <b>")
    inside = re.search(r'<script type="application/json">(.*?)</script>', shown, re.DOTALL)
    assert inside is not None
    assert json.loads(inside[1])["data"][0]["x"] == ["</script><b>"]
    assert "caption <b>" not in shown


def test_a_page_needs_nothing_from_elsewhere_and_has_plotly_once() -> None:
    text = page("base.html", title="a & b")
    assert "<title>a &amp; b</title>" in text
    assert text.count("plotly.js v") == 1
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="', text)
    assert "plotly.js v" not in page("base.html", title="x", with_figures=False)
