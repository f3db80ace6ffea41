"""Kill a training for real, at several moments: it goes on, and ends with the same weights."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from allears.checkpoints.steps import steps
from allears.checkpoints.training_state import load_state, weights_of
from allears.params.spec_pretrain import PretrainSpec
from allears.process.events import read_events
from allears.storage.files import read_json
from tests.long import LONG
from tests.pretraining import make_spec, tiny
from tests.processes import LIMIT_S, alive, children, start, wait_for
from tests.support import make_shards

MOMENTS = (1, 3) if LONG else (1,)  # the checkpoints after which it is killed


def final_weights(spec: PretrainSpec) -> dict[str, torch.Tensor]:
    notes = read_json(spec.folder / "receipt.json")["notes"]
    return weights_of(load_state(Path(notes["checkpoint"])))


def test_killed_and_run_again_gives_the_same_weights(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=40)
    params = tiny(objective="masked_units", updates=40, checkpoint_every=4, batch={"micro_batches": 2})
    whole = make_spec(shards, tmp_path / "whole", params)
    assert start(whole).wait(LIMIT_S) == 0

    killed = whole.model_copy(update={"folder": tmp_path / "killed"})
    for moment in MOMENTS:
        command = start(killed)
        seen = len(read_events(killed.folder))
        target = moment * 4

        def far_enough(target: int = target) -> bool:
            return any(step >= target for step in steps(killed.folder / "checkpoints"))

        wait_for(f"checkpoint {target}", far_enough)
        (child,) = children(command.pid)
        os.kill(child, signal.SIGKILL)
        assert command.wait(LIMIT_S) != 0
        assert b"was killed" in command.stderr.read()
        assert not (killed.folder / "receipt.json").exists()
        assert len(read_events(killed.folder)) > seen
    assert start(killed).wait(LIMIT_S) == 0
    resumed = [event["step"] for event in read_events(killed.folder) if event["kind"] == "start"]
    assert len(resumed) == len(MOMENTS) + 1
    assert 0 < min(resumed[1:]) <= max(resumed[1:]) < 40
    assert resumed == sorted(set(resumed))

    expected, found = final_weights(whole), final_weights(killed)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert len(steps(killed.folder / "checkpoints")) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_training_dies_with_the_command(tmp_path: Path, number: signal.Signals) -> None:
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, tmp_path / "run", tiny(updates=100_000, checkpoint_every=10))
    command = start(spec)
    pids = [command.pid]
    try:
        wait_for("a checkpoint", lambda: steps(spec.folder / "checkpoints"))
        (child,) = children(command.pid)
        pids.append(child)
        os.kill(command.pid, number)
        command.wait(LIMIT_S)
        wait_for("the child's end", lambda: not alive(child))
    finally:  # what did not die would train on for hours
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not (spec.folder / "receipt.json").exists()
