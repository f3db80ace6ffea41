"""`--params` of `kedro run`: as Kedro reads them, but texts as they are written and lists of several values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import click
from omegaconf import OmegaConf
from yaml import YAMLError

NULLS = ("", "null", "~")
BRACKETS = {"[": "]", "{": "}"}  # of values that may hold commas


def split_params(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    """Parse `a.b=1,c=[x,y]` as YAML, except parameters that are texts (a corpus, a path, a run).

    Kedro reads each value as YAML: the corpus `2024` would be a number, and the run `12e456789012` infinite. It also
    splits lists at their commas.
    """
    from allears.hooks.parameters import is_text

    del param
    if not isinstance(value, str):
        return dict(value)
    found = OmegaConf.create()
    texts: dict[str, str] = {}
    for item in _items(value):
        key, sign, text = (part.strip() for part in item.partition("="))
        if not sign or not key:
            ctx.fail(f"--params: expected KEY=VALUE, found '{item}'")
        if is_text(key) and not _is_yaml(key, text):
            texts[key] = text
            continue
        try:
            found.merge_with_dotlist([f"{key}={text}"])
        except YAMLError as error:
            ctx.fail(f"--params: the value of '{key}' cannot be read: {text} ({' '.join(str(error).split())})")
    parsed = cast("dict[str, Any]", OmegaConf.to_container(found))
    for key, text in texts.items():
        _put(parsed, key.split("."), text)
    return parsed


def _items(line: str) -> Iterator[str]:
    """Yield the parts between commas, except commas within a list or mapping that ends before the next parameter."""
    parts = [part.strip() for part in line.split(",")]
    while parts:
        count = next((n for n in range(1, len(parts) + 1) if _is_closed(parts[:n])), 1)
        if any("=" in part for part in parts[1:count]):
            count = 1
        if item := ",".join(parts[:count]):
            yield item
        del parts[:count]


def _is_closed(parts: list[str]) -> bool:
    value = ",".join(parts).partition("=")[2].strip()
    opens = value[:1]
    return opens not in BRACKETS or value.count(opens) == value.count(BRACKETS[opens])


def _is_yaml(key: str, text: str) -> bool:
    """Return whether the text is in quotes, or no value; a corpus may be called null."""
    return (len(text) > 1 and text[0] == text[-1] and text[0] in "'\"") or (text in NULLS and key != "corpus")


def _put(values: dict[str, Any], keys: list[str], text: str) -> None:
    *groups, last = keys
    for group in groups:
        if not isinstance(values.get(group), dict):
            values[group] = {}
        values = values[group]
    values[last] = text
