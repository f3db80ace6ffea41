"""What an export folder holds of an encoder, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`config` and `preprocessor` are JSON files, `weights` has the names of transformers, `usage` is Markdown."""

    config: dict[str, Any]
    preprocessor: dict[str, Any]
    weights: dict[str, Tensor]
    usage: str
