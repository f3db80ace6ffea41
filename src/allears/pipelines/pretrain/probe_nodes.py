"""Steps that end `pretrain`: the probe by layer, pretrained against random initialisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.probe import ProbeParams
from allears.params.spec_probe import VERSION, ProbeSpec
from allears.shards.handle import ShardSet
from allears.storage.digest import file_digest, identity
from allears.storage.receipt import read_receipt
from allears.storage.tables import table_digest

SCORES = "probe_scores.parquet"


def probe_encoder(
    encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame, params: ProbeParams, paths: Paths
) -> pd.DataFrame:
    """Probe scores of every test clip, arm, draw and layer; done once for the same encoder, clips and parameters."""
    spec = probe_spec(encoder, shard_set, clips, params, paths)
    if read_receipt(spec.folder, spec.identity) is None:
        from allears.checkpoints.heard import check_unheard
        from allears.tracking import child_run
        from allears.training.launch import launch

        cure = f"Pretrain on it again: kedro run --pipeline pretrain --params corpus={paths.corpus}"
        shards = ShardSet.from_json(shard_set)
        check_unheard(spec.encoder, paths.corpus, spec.clips, shards, ("dev", "test"), cure)
        spec.folder.mkdir(parents=True, exist_ok=True)
        with child_run("probe", spec.folder):
            launch(spec, spec.folder)
    return pd.read_parquet(spec.folder / SCORES)


def summarise_probe(scores: pd.DataFrame, audit: AuditParams) -> pd.DataFrame:
    """Every layer, and each arm's best layer on dev speakers, with paired intervals over speakers and draws."""
    from allears.evaluation.comparisons import Least
    from allears.evaluation.probing import summarise

    return summarise(scores, Least(**audit.assessable.model_dump()))


def compare_probes(
    scores: pd.DataFrame,
    encoder: dict[str, Any],
    shard_set: dict[str, Any],
    clips: pd.DataFrame,
    params: ProbeParams,
    audit: AuditParams,
    paths: Paths,
) -> pd.DataFrame:
    """Gains of this encoder over every other one of this project that was probed with the same clips and settings."""
    from allears.checkpoints.known import encoder_name, exports
    from allears.evaluation.comparisons import Least
    from allears.evaluation.probing import compare_encoders

    others: dict[str, tuple[str, pd.DataFrame]] = {}
    mine = probe_spec(encoder, shard_set, clips, params, paths)
    for export in exports(paths.data):
        spec = probe_spec({"folder": str(export)}, shard_set, clips, params, paths)
        if spec.identity != mine.identity and read_receipt(spec.folder, spec.identity) is not None:
            others[spec.identity] = encoder_name(export), pd.read_parquet(spec.folder / SCORES)
    return compare_encoders(scores, others.values(), Least(**audit.assessable.model_dump()))


def probe_spec(
    encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame, params: ProbeParams, paths: Paths
) -> ProbeSpec:
    """What the probe's process is told; its folder is named after all that its result depends on."""
    export = Path(encoder["folder"])
    inputs = {
        "encoder": file_digest(export / "model.safetensors"),
        "shards": str(shard_set["digest"]),
        "clips": table_digest(clips),
    }
    name = identity("probe", VERSION, inputs, params.model_dump(mode="json", exclude={"workers"}))
    return ProbeSpec(
        folder=(paths.outputs / "probe" / name[:16]).absolute(),
        identity=name,
        shard_set=shard_set,
        clips=paths.clips.absolute(),
        encoder=export.absolute(),
        probe=params,
    )
