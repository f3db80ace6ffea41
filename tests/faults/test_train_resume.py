"""A training killed at random steps and taken up by other numbers of processes and reading threads, for real: what all
of them together hear, crop by crop, is what one undisturbed process hears.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from allears.checkpoints.steps import steps
from allears.checkpoints.training_state import data_of, load_state, weights_of
from allears.params.spec_pretrain import PretrainSpec
from tests.long import LONG, report
from tests.pretraining import make_spec, tiny
from tests.processes import LIMIT_S, children, start, wait_for
from tests.support import make_shards

KILLS = 20 if LONG else 1
UPDATES = 1500 if LONG else 60
# Imported by every Python that is started: notes what each update hears, as the model gets it.
NOTE_BATCHES = """
import importlib.util, json, os, sys
class Noting:
    def find_spec(self, name, path, target=None):
        if name != "allears.training.module":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            log = os.open(os.environ["NOTED_BATCHES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            step = module.PretrainModule.training_step
            def training_step(self, batch, batch_idx):
                heard = [[one.step, one.micro, one.keys, one.starts, one.audio.lengths_B.tolist()]
                         for one in batch.micros]
                assert all(one.step == self.global_step for one in batch.micros)
                os.write(log, json.dumps(heard).encode() + b"\\n")
                return step(self, batch, batch_idx)
            module.PretrainModule.training_step = training_step
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Noting())
"""


def noting(folder: Path, name: str) -> dict[str, str]:
    """The environment in which the batches are noted in `folder/name`."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(NOTE_BATCHES)
    path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    return {"NOTED_BATCHES": str(folder / name), "PYTHONPATH": path}


def heard(log: Path) -> dict[tuple[int, int], object]:
    """(step, micro-batch) → clips and crops; what was done again after a kill was the same."""
    found: dict[tuple[int, int], object] = {}
    for line in log.read_text().splitlines():
        for step, micro, *crops in json.loads(line):
            assert found.setdefault((step, micro), crops) == crops, (step, micro)
    return found


def trainers(command: int, processes: int) -> list[int]:
    """The processes that train: the command's child, or those that it shares the work out to."""
    (child,) = children(command)
    if processes == 1:
        return [child]
    mark = b"allears.training.run"
    return [pid for pid in children(child) if mark in Path(f"/proc/{pid}/cmdline").read_bytes()]


def last_state(spec: PretrainSpec) -> dict[str, Any]:
    return load_state(spec.folder / "checkpoints" / f"step-{UPDATES:09d}.pt")


def test_killed_and_taken_up_by_one_or_two_it_hears_the_same(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    every = {"checkpoint_every": 3, "log_every": 100, "validate_batches": 0}
    params = tiny(objective="masked_units", updates=UPDATES, batch=batch, **every)
    whole = make_spec(shards, tmp_path / "whole", params)
    command = start(whole, **noting(tmp_path, "whole.jsonl"))
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    killed, env = whole.model_copy(update={"folder": tmp_path / "killed"}), noting(tmp_path, "killed.jsonl")

    def by(kill: int) -> PretrainSpec:
        shared = params.model_copy(update={"processes": 2 - kill % 2, "reader_threads": 1 + kill % 3})
        return killed.model_copy(update={"pretrain": shared})

    rng, at = np.random.default_rng(0), 0
    for kill in range(KILLS):
        command = start(by(kill), **env)
        wait_for("a new checkpoint", lambda at=at: max(steps(killed.folder / "checkpoints"), default=0) > at)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(rng.choice(trainers(command.pid, by(kill).pretrain.processes)), signal.SIGKILL)
        assert command.wait(LIMIT_S) != 0
        at = max(steps(killed.folder / "checkpoints"))  # with that which was written meanwhile
    assert at < UPDATES
    command = start(by(KILLS), **env)
    assert command.wait(LIMIT_S) == 0, command.stderr.read()

    expected, found = heard(tmp_path / "whole.jsonl"), heard(tmp_path / "killed.jsonl")
    assert found == expected
    assert {step for step, _ in expected} == set(range(UPDATES))
    one, other = last_state(whole), last_state(killed)
    assert one["global_step"] == other["global_step"]
    assert data_of(one) == data_of(other)
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(other).values())
    crops = sum(len(crops[0]) for crops in expected.values())
    report(
        f"pretraining, {KILLS} SIGKILLs, taken up by 2 and 1 processes in turn, 1 to 3 reading threads",
        f"the same {len(expected):,} micro-batches of {crops:,} crops, step by step",
    )
