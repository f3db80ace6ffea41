"""Documents in Markdown from templates: the datasheet of a corpus and the card of a model."""

from __future__ import annotations

import re
from typing import Any

import jinja2

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("allears", "reporting/templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # noqa: S701 Markdown
    keep_trailing_newline=True,
)


def as_data(text: str) -> str:
    """`text` with all that Markdown or HTML would take for more than text escaped."""
    escaped = re.sub(r"([\\`*#\[\]|]|\b_|_\b)", r"\\\1", text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_TEMPLATES.filters["as_data"] = as_data


def render_markdown(template: str, values: dict[str, Any]) -> str:
    """The template (`reporting/templates/<template>.md.j2`) with `values`; a value that is missing is an error."""
    return _TEMPLATES.get_template(f"{template}.md.j2").render(values)


def percent(value: float) -> str:
    """`0.1234` as `12.3 %`, `0.1` as `10 %`."""
    return f"{100 * value:.3g} %"


def signed_percent(value: float) -> str:
    """`0.1234` as `+12.3`, in points."""
    return f"{100 * value:+.1f}"
