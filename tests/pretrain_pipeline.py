"""The nodes of `pretrain` one after the other, as the catalog would pass their results on."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.pipelines.pretrain import create_pipeline
from allears.storage.files import read_json

AUDIT = {
    "corpus": "tiny", "version": "f" * 64, "quarantine": {"zero_byte": 2}, "total": {"hours": 0.02},
    "verdicts": {"keep": {"clips": 60}, "soft": {"clips": 3}, "hard": {"clips": 1}}, "selected": {"hours": 0.015},
    "reasons": {"noisy": {"counted": 3}, "byte_duplicate": {"counted": 1}},
}  # fmt: skip
PROBE = {
    "limits": {"train": 40, "dev": 8, "test": 16, "seconds": 4.0}, "shares": [1.0], "text_updates": 2,
    "text_width": 4, "min_clips_per_class": 2, "min_text_clips": 1000,
}  # fmt: skip
NO_EVALUATION = pd.DataFrame(columns=["axis", "baseline", "share"])
NOT_TUNED = {"encoder": {"digest": ""}}


def run(
    paths: Paths, params: PretrainParams, *, until: str | None = None, audit: AuditParams | None = None
) -> dict[str, Any]:
    """Run the nodes, or those that `until` needs, and pass the results on as the catalog does: through JSON."""
    pipeline = create_pipeline()
    assert pipeline.inputs() == {
        "shard_set",
        "clips",
        "audit_summary",
        "params:pretrain",
        "params:audit",
        "params:paths",
    }
    data: dict[str, Any] = {
        "shard_set": read_json(paths.shards / "shards.json"),
        "clips": pd.read_parquet(paths.shards / "clips.parquet"),
        "audit_summary": AUDIT,
        "params:pretrain": params,
        "params:audit": audit or AuditParams(),
        "params:paths": paths,
    }
    for node in (pipeline.to_outputs(until) if until else pipeline).nodes:
        outputs = node.run({name: data[name] for name in node.inputs})
        data |= {name: json.loads(json.dumps(v)) if isinstance(v, dict) else v for name, v in outputs.items()}
    return data


def changed(paths: Paths) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in paths.data.rglob("*") if path.is_file()}
