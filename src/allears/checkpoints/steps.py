"""What checkpoints of a training are called. Free of torch, which a command that only looks for them does not load."""

from __future__ import annotations

import re
from pathlib import Path

CHECKPOINTS = "checkpoints"  # in the folder of a run
_NAME = re.compile(r"step-(\d{9})\.pt")


def step_file(folder: Path, step: int) -> Path:
    """The checkpoint of `step` in `folder`."""
    return folder / f"step-{step:09d}.pt"


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint in `folder`, in order; empty when there is no such folder."""
    if not folder.exists():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
