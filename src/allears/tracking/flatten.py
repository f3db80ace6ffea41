"""Typed parameters as the flat text that MLflow keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from allears.storage.portable import portable_values

MAX_VALUE = 6000  # characters: MLflow's limit


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{"a": {"b": 1}}` → `{"a.b": "1"}`; pydantic models count as mappings, lists become JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        inner = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        name = clean(f"{prefix}{key}")
        if isinstance(inner, Mapping) and inner:
            flat |= flatten(inner, f"{name}.")
        else:
            inner = portable_values(inner)
            text = inner if isinstance(inner, str) else json.dumps(inner, default=str, ensure_ascii=False)
            flat[name] = text[:MAX_VALUE]
    return flat


def clean(name: str) -> str:
    """`name` without what MLflow refuses in names of metrics, parameters and tags."""
    return re.sub(r"[^/\w.\- :]", "_", name)[:250]
