"""Steps that end `pretrain`: the probe by layer, pretrained against random initialisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from allears.checkpoints.known import WEIGHTS
from allears.params.audit import AuditParams
from allears.params.base import Paths, Precision
from allears.params.pretrain import PretrainParams
from allears.params.probe import ProbeParams
from allears.params.spec_probe import VERSION, ProbeSpec
from allears.shards.handle import ShardSet
from allears.storage.digest import file_digest, identity
from allears.storage.receipt import read_receipt
from allears.storage.tables import table_digest

SCORES = "probe_scores.parquet"


def probe_encoder(
    encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame, params: PretrainParams, paths: Paths
) -> pd.DataFrame:
    """Probe scores of every test clip, arm, draw and layer; done once for the same encoder, clips and parameters."""
    if "encoder" not in encoder["modules"]:
        from allears.downstream.score_table import PROBE

        return pd.DataFrame(PROBE.empty_table().to_pandas())
    spec = probe_spec(encoder, shard_set, clips, params, paths)
    if read_receipt(spec.folder, spec.identity) is None:
        from allears.checkpoints.heard import check_unheard
        from allears.process.launch import launch
        from allears.tracking import child_run

        cure = f"Pretrain on it again: kedro run --pipeline pretrain --params corpus={paths.corpus}"
        shards = ShardSet.from_json(shard_set)
        check_unheard(spec.encoder, paths.corpus, spec.clips, shards, ("dev", "test"), cure)
        spec.folder.mkdir(parents=True, exist_ok=True)
        with child_run(f"probe on {paths.corpus}, seed {params.probe.seed}", spec.folder):
            launch(spec, spec.folder)
    return pd.read_parquet(spec.folder / SCORES)


def summarise_probe(scores: pd.DataFrame, audit: AuditParams) -> pd.DataFrame:
    """Every layer, and each arm's best layer on dev speakers, with paired intervals over speakers and draws."""
    from allears.evaluation.comparisons import Least
    from allears.evaluation.probing import summarise

    return summarise(scores, Least(**audit.assessable.model_dump()))


def probed_alike(mine: ProbeSpec, inputs: dict[str, str], paths: Paths) -> list[tuple[str, pd.DataFrame]]:
    """Other encoders of this project that were probed with the same clips, settings and precision: name and scores."""
    from allears.checkpoints.known import encoder_name, exports

    found: dict[str, tuple[str, pd.DataFrame]] = {}
    done = read_receipt(mine.folder, mine.identity) or {}
    for export in exports(paths.data):
        name = probe_identity(inputs | {"encoder": file_digest(export / WEIGHTS)}, mine.probe, mine.precision)
        folder = probe_folder(paths, name)
        other = read_receipt(folder, name)
        if name != mine.identity and other is not None and other.get("precision") == done.get("precision"):
            found[name] = encoder_name(export), pd.read_parquet(folder / SCORES)
    return list(found.values())


def probe_spec(
    encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame, params: PretrainParams, paths: Paths
) -> ProbeSpec:
    """What the probe's process is told; its folder is named after all that its result depends on."""
    export = Path(encoder["folder"])
    name = probe_identity(probe_inputs(encoder, shard_set, clips), params.probe, params.precision)
    return ProbeSpec(
        folder=probe_folder(paths, name),
        identity=name,
        shard_set=shard_set,
        clips=paths.clips,
        encoder=export,
        probe=params.probe,
        accelerator=params.accelerator,
        precision=params.precision,
    )


def probe_inputs(encoder: dict[str, Any], shard_set: dict[str, Any], clips: pd.DataFrame) -> dict[str, str]:
    """Digests of what a probe is made from."""
    return {
        "encoder": file_digest(Path(encoder["folder"]) / WEIGHTS),
        "shards": str(shard_set["digest"]),
        "clips": table_digest(clips),
    }


def probe_identity(inputs: dict[str, str], params: ProbeParams, precision: Precision) -> str:
    """The identity of a probe."""
    settings = params.model_dump(mode="json", exclude={"workers"}) | {"precision": precision}
    return identity("probe", VERSION, inputs, settings)


def probe_folder(paths: Paths, name: str) -> Path:
    """Where the probe of this identity lies."""
    return paths.outputs / "probe" / name[:16]
