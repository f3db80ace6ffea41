"""What the process of a probe is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from allears.params.base import Accelerator, Params, Precision
from allears.params.probe import ProbeParams

VERSION = 2  # raised when a change of code gives other results for the same spec


class ProbeSpec(Params):
    """`shard_set` is the handle's JSON, `clips` the table of labels, `encoder` an export folder.

    `accelerator` and `precision` are those of the pretraining.
    """

    task: Literal["probe"] = "probe"
    folder: Path
    identity: str
    shard_set: dict[str, Any]
    clips: Path
    encoder: Path
    probe: ProbeParams
    accelerator: Accelerator = "auto"
    precision: Precision = "auto"
