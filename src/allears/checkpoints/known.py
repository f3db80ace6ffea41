"""The encoders that this project has exported, whatever corpus they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allears.storage.files import read_json
from allears.storage.receipt import NAME as RECEIPT

CONFIG, WEIGHTS, PROVENANCE = "config.json", "model.safetensors", "provenance.json"


def holds_encoder(export: Path) -> bool:
    """Return whether an export folder holds an encoder to probe, fine-tune and register; there may be others."""
    return (export / WEIGHTS).exists()


def loader(export: Path) -> str:
    """Return what opens an export: transformers where its `config.json` is one of theirs, else allears itself."""
    if not holds_encoder(export):
        return "its README.md says how to load it"
    theirs = "model_type" in read_json(export / "config.json")
    return "transformers: AutoModel.from_pretrained" if theirs else "allears.checkpoints.export.load_export"


def exports(data: Path) -> list[Path]:
    """Folders of finished exports below the data folder, in order; those without an encoder are left out."""
    folders = (receipt.parent for receipt in data.glob(f"06_models/*/encoder/*/{RECEIPT}"))
    return sorted(folder for folder in folders if holds_encoder(folder))


def heard_in(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a run says of each corpus that it heard.

    An earlier allears told corpora apart only where there were several, and of a run that it stopped only the name.
    """
    whole = ("corpus", "data_digest", "shards", "clips", "speakers", "hours")
    return list(provenance.get("corpora", [{name: provenance[name] for name in whole if name in provenance}]))


def heard_before(provenance: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What the runs that a run extends say of each corpus that they heard, with the run's name; the latest first."""
    found, earlier = [], provenance.get("extends")
    while earlier:
        found += [(str(earlier["run"]), one) for one in heard_in(earlier) if "corpus" in one]
        earlier = earlier.get("extends")
    return found


def encoder_name(export: Path) -> str:
    """`best_rq of so762, 4,000 updates, seed 0, run 875e99e3`, from what an export says of itself; else its folder."""
    file = export / PROVENANCE
    facts = read_json(file) if file.exists() else {}
    try:
        before = [one["corpus"] for _, one in heard_before(facts)]
        corpora = " and ".join(dict.fromkeys([*(one["corpus"] for one in heard_in(facts)), *before]))
        said = f"{facts['objective']} of {corpora}, {facts['updates']:,} updates"
        return f"{said}, seed {facts['settings']['seed']}, run {facts['run'][:8]}"
    except (KeyError, TypeError, ValueError):
        return export.name
