"""The one mechanism for 'is this up to date?': a receipt, written last, names the identity it was made for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from allears.storage.files import read_json, sweep, write_json

NAME = "receipt.json"


def read_receipt(folder: Path, identity: str) -> dict[str, Any] | None:
    """What the step noted when it finished, or None when `folder` holds no finished output of this identity."""
    path = folder / NAME
    if not path.exists():
        return None
    receipt = read_json(path)
    return dict(receipt["notes"]) if receipt.get("identity") == identity else None


def write_receipt(folder: Path, identity: str, notes: dict[str, Any]) -> None:
    """Mark `folder` as the finished output of `identity`. Call it last. What a kill left of an earlier try goes."""
    sweep(folder, NAME)
    write_json(folder / NAME, {"identity": identity, "notes": notes, "finished_unix_s": round(time.time(), 3)})
