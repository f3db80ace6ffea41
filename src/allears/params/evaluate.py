"""Parameters of `evaluate`."""

from __future__ import annotations

from typing import Literal

from allears.params.base import Params

Axis = Literal["gender", "accent", "language", "age"]


class EvaluateParams(Params):
    """What the comparison is broken down by."""

    axes: tuple[Axis, ...] = ("gender", "accent", "language", "age")
    """Columns whose every value, unknown too, is a group of its own; ages are put into bands of ten years."""
