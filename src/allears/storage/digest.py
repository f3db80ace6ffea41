"""Content digests: of files and of JSON-like values, and the identity of a step's output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """sha256 of a JSON-like value: independent of key order and of the process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(step: str, version: int, inputs: Mapping[str, str], parameters: Any) -> str:
    """The identity of a step's output: its name, its VERSION, the digests of its inputs and its parameters.

    `parameters` is JSON-like (a pydantic model's `model_dump(mode="json")`).
    """
    return value_digest({"step": step, "version": version, "inputs": dict(inputs), "parameters": parameters})
