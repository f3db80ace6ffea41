"""Nodes of `shard`: recordings → tars and index; manifest and selection → table of clips."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from allears.corpus.manifest import Manifest
from allears.errors import StaleError
from allears.params.base import Paths
from allears.params.shard import ShardParams

logger = logging.getLogger(__name__)

OF_MANIFEST = (
    "clip", "split", "speaker", "group", "session", "text", "label", "language", "accent", "gender", "age",
    "attributes", "licence",
)  # fmt: skip


def write_shards(
    manifest: Manifest, verdicts: pd.DataFrame, shard: ShardParams, paths: Paths, passed: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Decode every clip without a hard verdict into shards; what is written and unchanged is not decoded again.

    `passed` comes from an audit that left clips to train on: without it, no step of a run decodes for nothing.
    """
    del passed
    from allears.corpus.versions import note_shards
    from allears.shards.handle import made_from
    from allears.shards.sidecar import move_labels
    from allears.shards.writer import COLUMNS, write_shards

    table = manifest.frame(COLUMNS)
    _check_same_clips(table, verdicts, "verdicts")
    hard = set(verdicts.loc[verdicts["verdict"] == "hard", "clip"])
    shard_set, written = write_shards(
        table,
        manifest.deliveries,
        hard,
        paths.shards / "shards",
        paths.corpus,
        sample_rate_hz=shard.sample_rate_hz,
        target_mb=shard.target_mb,
        min_shards=shard.min_shards,
        timeout_s=shard.timeout_s,
        workers=shard.workers,
    )
    logger.info(
        "%d clips = %d in shards (%.2f h, version %s) + %d with a hard verdict; %d tars written now",
        len(table), shard_set.clips, shard_set.seconds / 3600, shard_set.digest[:12], len(hard), written,
    )  # fmt: skip
    for folder in sorted(paths.features.glob("*/*/")):
        move_labels(folder, shard_set)
    note_shards(paths, manifest.digest, shard_set.digest)
    dealt = {"target_mb": shard.target_mb, "min_shards": shard.min_shards}  # so that a repack knows it
    return shard_set.to_json() | {"made_from": made_from(manifest.digest, hard), "dealt": dealt}


def tabulate_clips(manifest: Manifest, selection: pd.DataFrame, shard_set: dict[str, Any]) -> pd.DataFrame:
    """One row a clip in the shards, in their order: what the manifest knows of it, keep, weight and samples."""
    from allears.shards.handle import ShardSet
    from allears.shards.index import read_index

    index = read_index(ShardSet.from_json(shard_set))
    table = manifest.frame(OF_MANIFEST)
    _check_same_clips(table, selection, "selection")
    rows = table.set_index("clip").join(selection.set_index("clip")[["keep", "weight"]])
    rows = rows.reindex(pd.Index(index.clips, name="clip")).reset_index()
    if rows["split"].isna().any():
        lost = rows.loc[rows["split"].isna(), "clip"].iloc[0]
        raise StaleError(f"clip {lost} is in the shards but not in the manifest; run the shard pipeline again")
    text = dict.fromkeys(OF_MANIFEST, "string")
    return rows.assign(samples=index.samples_N).astype(text | {"keep": "bool", "weight": "float64"})


def _check_same_clips(manifest: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    if set(manifest["clip"]) != set(other["clip"]):
        raise StaleError(
            f"the {name} of the audit are of {len(other)} clips, the manifest has {len(manifest)}, not the same ones: "
            "the corpus was ingested again since; run the audit pipeline, then this one"
        )
