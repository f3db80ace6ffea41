"""The base of every HTML page: style, plotly once, tables and figures from data; nothing is fetched from elsewhere.

Templates lie in `templates/`; a page's template extends `base.html` and gets the tables and figures as safe markup.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any, Literal

import jinja2
import pandas as pd
from markupsafe import Markup

Kind = Literal[
    "text", "number", "count", "hours", "percent", "decimal", "measure", "seconds", "interval", "code", "path", "flag"
]  # number: written already
MISSING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: which value, its heading, how it is written. `hint`: what the heading means, on hover."""

    key: str
    title: str
    kind: Kind = "text"
    hint: str = ""

    @property
    def is_number(self) -> bool:
        """Numbers are set right."""
        return self.kind not in ("text", "code", "path", "flag")


def page(template: str, *, title: str, scripts: Sequence[str] = (), **context: Any) -> str:
    """Render `template` of `templates/` into one page that needs nothing from elsewhere.

    `scripts`: files of `templates/` to run, after those that draw figures. No other script runs: the page's content
    security policy names the hashes of these, so that markup in a transcript could do nothing even if it got through.
    """
    figures = (_plotly_js(), _script("figures.js")) if context.pop("with_figures", True) else ()
    all_scripts = (*figures, *(_script(name) for name in scripts))
    loaded = _environment().get_template(template)
    return loaded.render(title=title, scripts=all_scripts, policy=_policy(all_scripts), **context)


def table(rows: pd.DataFrame | Iterable[dict[str, Any]], columns: Sequence[Column], *, foot: bool = False) -> Markup:
    """A table that scrolls sideways on a phone. `foot`: the last row is a sum. A row's `_class` is its CSS class."""
    records = as_records(rows) if isinstance(rows, pd.DataFrame) else list(rows)
    head = "".join(_head(column) for column in columns)
    lines = []
    for number, record in enumerate(records):
        total = foot and number == len(records) - 1
        style = " ".join(filter(None, [str(record.get("_class") or ""), "total" if total else ""]))
        cells = "".join(_cell(record.get(column.key), column) for column in columns)
        lines.append(f'<tr class="{escape(style)}">{cells}</tr>' if style else f"<tr>{cells}</tr>")
    body = "".join(lines)
    return Markup(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')  # noqa: S704  all values are escaped


def as_records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A dict a row."""
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def figure(spec: Any, caption: str, *, height_px: int = 320) -> Markup:
    """A plotly figure (anything with `to_json`) with its caption, drawn by the page's script in the page's colours."""
    data = spec.to_json().replace("</", "<\\/")
    return Markup(  # noqa: S704  the JSON cannot close its element
        f'<figure><div class="plot" style="height:{height_px}px" role="img" aria-label="{escape(caption)}">'
        f'<script type="application/json">{data}</script></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def written(value: Any, kind: Kind) -> str:
    """A value as people read it: 1,234 · 2.88 h · 53 % · –."""
    if _is_missing(value):
        return MISSING
    match kind:
        case "count":
            text = f"{int(value):,}"
        case "hours":
            text = _hours(float(value))
        case "percent":
            text = _percent(float(value))
        case "decimal":
            text = f"{value:,.2f}"
        case "measure":
            text = _measure(float(value))
        case "seconds":
            text = f"{value:,.2f} s"
        case "interval":
            text = f"{100 * value[0]:.0f}–{100 * value[1]:.0f} %"
        case _:
            text = str(value)
    return text


def _hours(value: float) -> str:
    if value >= 0.1 or value == 0:
        return f"{value:,.2f} h"
    return f"{value * 60:.1f} min" if value * 60 >= 1 else f"{value * 3600:.1f} s"


def _measure(value: float) -> str:
    """A measured number with about three digits that say something."""
    size = abs(value)
    if size == 0 or size >= 100:
        return f"{value:,.0f}"
    if size < 0.001:
        return "≈ 0"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def _percent(share: float) -> str:
    """Whole per cent; a share that is not quite all or nothing never reads as 100 % or 0 %."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        digits = f"{100 * share:.1f}"
        return f"{digits} %" if digits not in ("0.0", "100.0") else ("< 0.1 %" if share < 0.5 else "> 99.9 %")
    return f"{100 * share:.0f} %"


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) or value == ""


def _head(column: Column) -> str:
    style = ' class="number"' if column.is_number else ""
    hint = f' title="{escape(column.hint)}"' if column.hint else ""
    return f'<th scope="col"{style}{hint}>{escape(column.title)}</th>'


def _cell(value: Any, column: Column) -> str:
    text = escape(written(value, column.kind))
    match column.kind:
        case "code" | "path":
            return f'<td class="{column.kind}">' + (f"<code>{text}</code></td>" if text != MISSING else "</td>")
        case "text" | "flag":
            return f'<td class="{column.kind}">{text if text != MISSING else ""}</td>'
        case _:
            return f'<td class="number">{text}</td>'


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("allears.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["written"] = written
    environment.filters["tojson_pretty"] = lambda value: json.dumps(value, indent=1, ensure_ascii=False)
    return environment


@lru_cache(maxsize=1)
def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return _as_parsed(get_plotlyjs())


@lru_cache(maxsize=8)
def _script(name: str) -> Markup:
    return _as_parsed(files("allears.reporting").joinpath("templates", name).read_text(encoding="utf-8"))


def _as_parsed(script: str) -> Markup:
    """A script with the line ends that a parser makes of it: its hash is taken of what the browser sees."""
    return Markup(script.replace("\r\n", "\n").replace("\r", "\n"))  # noqa: S704  our own and plotly's code


def _policy(scripts: Sequence[str]) -> Markup:
    """CSP Level 3: no script but these, nothing from elsewhere; `file:` because a local file has no 'self'."""
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts) or "'none'"
    return Markup(  # noqa: S704  hashes are base64
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src 'self' file: data: blob:; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


@lru_cache(maxsize=16)
def _hash(script: str) -> str:
    return b64encode(hashlib.sha256(script.encode()).digest()).decode()
