"""Sharding and labelling without the rest of a Kedro run, as processes to be killed.

As a script, in the folder of a `Setting`: `python -m tests.faults.work shard`. It prints a line once everything is
imported and the work begins.
"""

from __future__ import annotations

import sys
from pathlib import Path

from allears.corpus.manifest import Manifest
from allears.engine.chosen import choose
from allears.params.base import Paths
from allears.params.engine import EngineParams
from allears.params.shard import ShardParams
from allears.pipelines.shard.nodes import write_shards
from allears.shards.handle import ShardSet
from allears.storage.files import read_json
from allears.training.label import prepare_units
from allears.training.plan import training_data
from tests.faults.steps import STARTED
from tests.pretraining import tiny
from tests.unit.shards.recordings import verdicts_of

WORKERS = 2
PATHS = Paths(corpus="mine", data=Path("data"))


def shard() -> None:
    """The tars of the recordings of `manifest.json`."""
    manifest = Manifest.from_json(read_json(Path("manifest.json")))
    verdicts, _ = verdicts_of(manifest.frame(["clip"]))
    write_shards(manifest, verdicts, ShardParams(min_shards=16), PATHS)


def label() -> None:
    """Units of the clips in `shards`, and what they are."""
    params = tiny(objective="masked_units")
    shard_set = ShardSet.from_json(read_json(Path("shards") / "shards.json"))
    prepare_units(training_data(shard_set, Path("shards") / "clips.parquet", params), params, PATHS.features)


if __name__ == "__main__":
    choose(EngineParams(workers=WORKERS))
    print(STARTED, flush=True)
    {"shard": shard, "label": label}[sys.argv[1]]()
