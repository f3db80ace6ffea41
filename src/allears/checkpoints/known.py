"""The encoders that this project has exported, whatever corpus they come from."""

from __future__ import annotations

from pathlib import Path

from allears.storage.files import read_json
from allears.storage.receipt import NAME as RECEIPT

WEIGHTS = "model.safetensors"


def exports(data: Path) -> list[Path]:
    """Folders of finished exports below the data folder, in order; those whose weights were deleted are left out."""
    folders = (receipt.parent.absolute() for receipt in data.glob(f"06_models/*/encoder/*/{RECEIPT}"))
    return sorted(folder for folder in folders if (folder / WEIGHTS).exists())


def encoder_name(export: Path) -> str:
    """`best_rq of so762, 4,000 updates, seed 0, run 875e99e3`, from what an export says of itself; else its folder."""
    file = export / "provenance.json"
    facts = read_json(file) if file.exists() else {}
    try:
        corpora = " and ".join(one["corpus"] for one in facts.get("corpora", ())) or facts["corpus"]
        said = f"{facts['objective']} of {corpora}, {facts['updates']:,} updates"
        return f"{said}, seed {facts['settings']['seed']}, run {facts['run'][:8]}"
    except (KeyError, TypeError, ValueError):
        return export.name
