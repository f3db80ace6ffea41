"""How far a corpus is, and what of it is stale. Each product names the digest of what it was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.errors import AllearsError
from allears.params.base import Paths

STAGES = ("audit", "shard", "pretrain", "finetune", "report")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusState:
    """State of a corpus's folders. `hours` (of all its clips) and `kept` (clips) are those of the last audit.

    `stages`: one of STAGES → 'up to date', 'not yet' or 'stale' (made from another version of what precedes, or partly
    deleted).
    """

    corpus: str
    version: str | None
    clips: int | None
    kept: int | None
    hours: float | None
    stages: dict[str, str]


def look(data: Path, corpus: str) -> CorpusState:
    """The state of one corpus."""
    paths = Paths(corpus=corpus, data=data)
    manifest = _read(paths.intermediate / "manifest.json")
    audit = _read(paths.primary / "audit_summary.json") or {}
    total, kept = audit.get("total", {}), audit.get("selected", {})
    stages: dict[str, str] = {}
    stale = False
    for name, (product, check) in _checks(paths).items():
        stale = stale or (product.exists() and not _holds(check))
        stages[name] = "not yet" if not product.exists() else "stale" if stale else "up to date"
    return CorpusState(
        corpus=corpus,
        version=str(manifest["digest"]) if manifest else None,
        clips=int(manifest["rows"]) if manifest else None,
        kept=int(kept["clips"]) if "clips" in kept else None,
        hours=float(total["hours"]) if "hours" in total else None,
        stages=stages,
    )


def is_fresh(paths: Paths, stage: str) -> bool:
    """Return whether the product of a stage (one of STAGES) exists and is made from the present inputs."""
    product, check = _checks(paths)[stage]
    return product.exists() and _holds(check)


def _checks(paths: Paths) -> dict[str, tuple[Path, Callable[[], bool]]]:
    """Each stage with its product and the test of whether that is made from what lies before it now."""
    manifest = _read(paths.intermediate / "manifest.json")
    audit, shards = _read(paths.primary / "audit_summary.json"), _read(paths.shards / "shards.json")
    version = str(manifest["digest"]) if manifest else None
    return {
        "audit": (paths.primary / "audit_summary.json", lambda: (audit or {}).get("version") == version),
        "shard": (paths.shards / "shards.json", lambda: _shards_are_fresh(paths, shards or {}, str(version))),
        "pretrain": (paths.models / "pretrained.json", lambda: _pretrain_is_fresh(paths)),
        "finetune": (paths.models / "finetune_run.json", lambda: _finetune_is_fresh(paths)),
        "report": (paths.reports / "model_card.md", lambda: _report_is_fresh(paths, version)),
    }


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (OSError, KeyError, ValueError, AllearsError):  # gone, of an older allears, or cut by a kill
        return False


def _shards_are_fresh(paths: Paths, shards: dict[str, Any], version: str) -> bool:
    from allears.shards.handle import is_made_from, is_selected

    audit = paths.primary
    made = is_made_from(shards, version, audit / "verdicts.parquet")
    return made and is_selected(audit / "selection.parquet", paths.clips)


def _pretrain_is_fresh(paths: Paths) -> bool:
    """Trained on these shards, and on the clips that the audit selects now, of every corpus that it heard."""
    from allears.shards.clips import read_clips
    from allears.shards.plan import data_digest
    from allears.training.plan import heard

    plan, pretrained = _read(paths.shards / "pretrain_plan.json"), _read(paths.models / "pretrained.json")
    if plan is None or pretrained is None or plan["plan"] != pretrained["inputs"]["plan"]:
        return False
    for one in plan["corpora"]:
        corpus = Paths(corpus=one["corpus"], data=paths.data)
        shards = _read(corpus.shards / "shards.json") or {}
        if one["selection"] != data_digest(str(shards.get("digest")), heard(read_clips(corpus.clips), "train")):
            return False
    return True


def _finetune_is_fresh(paths: Paths) -> bool:
    """Of these clips and, where it was this corpus's, of this encoder."""
    import pandas as pd

    from allears.storage.digest import file_digest
    from allears.storage.tables import table_digest

    plan, run = _read(paths.shards / "finetune_plan.json"), _read(paths.models / "finetune_run.json")
    encoder = _read(paths.models / "encoder.json")
    if plan is None or run is None or not str(plan["identity"]).startswith(str(run["run"])):
        return False
    if plan["encoder_corpus"] == paths.corpus and encoder is not None:
        weights = Path(encoder["folder"]) / "model.safetensors"
        if not weights.exists() or file_digest(weights) != plan["inputs"]["encoder"]:
            return False
    return bool(plan["inputs"]["clips"] == table_digest(pd.read_parquet(paths.clips)))


def _report_is_fresh(paths: Paths, version: str | None) -> bool:
    """The card names this version and this run."""
    card = (paths.reports / "model_card.md").read_text()
    run = (_read(paths.models / "pretrained.json") or {}).get("run")
    return str(version)[:12] in card and str(run) in card


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
