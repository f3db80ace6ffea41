"""`--params` of `kedro run`: Kedro's own option, in which texts are read as they are written."""

from __future__ import annotations

from typing import Any

import click
from kedro.framework.cli.utils import _split_params, split_string

NULLS = ("", "null", "~")


def split_params(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    """Parse `a.b=1,c=x` as Kedro does, but for parameters that are texts (a corpus, a path, a run).

    Kedro reads each value as YAML: the corpus `2024` would be a number, and the run `12e456789012` infinite.
    """
    from allears.hooks.parameters import is_text

    if not isinstance(value, str):
        return dict(_split_params(ctx, param, value))
    texts: dict[str, str] = {}
    others = []
    for item in split_string(ctx, param, value):
        key, sign, text = (part.strip() for part in item.partition("="))
        if sign and is_text(key) and not _is_yaml(key, text):
            texts[key] = text
        else:
            others.append(item)
    found = dict(_split_params(ctx, param, ",".join(others)))
    for key, text in texts.items():
        _put(found, key.split("."), text)
    return found


def _is_yaml(key: str, text: str) -> bool:
    """Whether the text is in quotes, or no value; a corpus may be called null."""
    return (len(text) > 1 and text[0] == text[-1] and text[0] in "'\"") or (text in NULLS and key != "corpus")


def _put(values: dict[str, Any], keys: list[str], text: str) -> None:
    *groups, last = keys
    for group in groups:
        if not isinstance(values.get(group), dict):
            values[group] = {}
        values = values[group]
    values[last] = text
