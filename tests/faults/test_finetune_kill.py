"""Kill a grid of fine-tunings for real: it goes on with what is missing, and ends with the same scores."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd

from allears.checkpoints.export import save_export
from allears.downstream.grid import plan_tasks
from allears.models.build import build_encoder
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.params.model import ConformerConfig
from allears.params.spec_finetune import FinetuneSpec
from tests.long import only_long
from tests.processes import LIMIT_S, children, start, wait_for
from tests.support import make_shards

PARAMS = FinetuneParams(
    task="classify", shares=(0.5, 1.0), learning_rates=(1e-3, 1e-2), seeds=2, updates=20, dev_every=10,
    limits=ClipLimits(train=40, dev=10, test=20, seconds=2.0), min_class_clips=4, workers=2,
)  # fmt: skip


@only_long
def test_a_killed_grid_ends_like_one_that_was_not(tmp_path: Path) -> None:
    shard_set, clips = make_shards(tmp_path / "shards", clips=60, seconds=0.5)
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    save_export(tmp_path / "encoder", {"encoder": build_encoder(config, seed=9)}, {"run": "test"}, "# test")
    whole = FinetuneSpec(
        folder=tmp_path / "whole", baselines=tmp_path / "whole" / "baselines", identity="whole", corpus="tiny",
        shard_set=shard_set.to_json(), clips=clips,
        encoder=tmp_path / "encoder", plans=plan_tasks(clips, PARAMS, shard_set.sample_rate_hz), finetune=PARAMS,
    )  # fmt: skip
    assert start(whole).wait(LIMIT_S) == 0

    folder = tmp_path / "killed"
    killed = whole.model_copy(update={"folder": folder, "baselines": folder / "baselines", "identity": "killed"})
    command = start(killed)
    wait_for("three cells", lambda: len(list(killed.folder.rglob("cells/*.json"))) >= 3)
    (child,) = children(command.pid)
    os.kill(child, signal.SIGKILL)
    assert command.wait(LIMIT_S) != 0
    kept = {path: path.stat().st_mtime_ns for path in killed.folder.rglob("cells/*.json")}
    assert not (killed.folder / "receipt.json").exists()
    assert start(killed).wait(LIMIT_S) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    scores = [pd.read_parquet(spec.folder / "finetune_scores.parquet") for spec in (whole, killed)]
    pd.testing.assert_frame_equal(*scores)
