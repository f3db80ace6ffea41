"""A pretraining small enough for a test: two layers of width 16, a handful of updates on synthetic voices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import PretrainSpec
from allears.shards.batches import Cursor
from allears.shards.handle import ShardSet, made_from
from allears.storage.files import read_json, write_json
from allears.training.datamodule import Maker, Updates
from allears.training.frame_labels import FrameLabels
from allears.training.label import prepare_units
from allears.training.plan import TrainingData, training_data
from allears.training.pretrain import new_objective
from allears.training.ranks import Ranks

TINY: dict[str, Any] = {
    "objective": "best_rq",
    "updates": 8,
    "batch": {"seconds": 4.0, "crop_s": 1.0},
    "encoders": {
        "conformer": {"width": 16, "blocks": 2, "heads": 2, "ffn_width": 32, "kernel_frames": 3, "dropout": 0.1}
    },
    "objectives": {
        "masked_units": {"units": 8, "final_width": 16},
        "best_rq": {"codebooks": 2, "codes": 32, "code_width": 4},
    },
    "optimiser": {"warmup_updates": 2, "learning_rate": 3e-3},
    "units": {"fit_frames": 1000},
    "accelerator": "cpu",
    "checkpoint_every": 3,
    "log_every": 2,
    "validate_every": 4,
    "validate_batches": 2,
}


def audited(paths: Paths, version: str) -> None:
    """What an audit leaves of the shards and clips there, as far as a pretraining of another corpus looks at it."""
    paths.primary.mkdir(parents=True, exist_ok=True)
    clips = pd.read_parquet(paths.clips)
    clips[["clip", "keep", "weight"]].to_parquet(paths.primary / "selection.parquet")
    clips[["clip"]].assign(verdict="keep").to_parquet(paths.primary / "verdicts.parquet")
    write_json(paths.primary / "audit_summary.json", {"version": version})
    handle = paths.shards / "shards.json"
    write_json(handle, read_json(handle) | {"made_from": made_from(version, [])})


def tiny(**changes: Any) -> PretrainParams:
    """The tiny parameters; a change to a group keeps the rest of the group."""
    values = {name: dict(value) if isinstance(value, dict) else value for name, value in TINY.items()}
    for name, value in changes.items():
        values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    return PretrainParams.model_validate(values)


def make_spec(shards: tuple[ShardSet, Path], folder: Path, params: PretrainParams, **more: Any) -> PretrainSpec:
    """A spec on `shards` (of `tests.support.make_shards`), with its targets prepared beside the run."""
    shard_set, clips = shards
    targets: dict[str, Any] = {"kind": "none"}
    if "units" in params.chosen.inputs:
        targets = prepare_units(training_data(shard_set, clips, params), params, folder.parent / "features")
    return PretrainSpec(
        folder=folder, identity=f"run-{folder.name}", shard_set=shard_set.to_json(), clips=clips, targets=targets,
        pretrain=params, **more,
    )  # fmt: skip


def updates_of(
    params: PretrainParams, data: TrainingData, last: int, *, targets: dict[str, Any] | None = None,
    begin: Cursor | None = None, threads: int = 1,
) -> Updates:  # fmt: skip
    """The updates of one process, from `begin` to `last`."""
    labels = FrameLabels(targets, [one.index for one in data.corpora]) if targets and "folder" in targets else None
    make = Maker(data=data, labels=labels, objective=new_objective(params), encoder=params.chosen_encoder)
    return Updates(make, begin or Cursor(), last, Ranks(), threads)
