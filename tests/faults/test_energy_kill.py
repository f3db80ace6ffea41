"""A training that is killed loses nothing of what it has used, and counts nothing twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from allears.checkpoints.steps import steps
from allears.process.energy import read_cost
from allears.process.events import read_events
from allears.storage.files import read_json
from tests.pretraining import make_spec, tiny
from tests.processes import LIMIT_S, children, start, wait_for
from tests.support import make_shards


def test_a_killed_training_adds_up_what_all_its_sessions_used(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, tmp_path / "run", tiny(updates=60, checkpoint_every=4))
    began = time.monotonic()
    command = start(spec)
    wait_for("a checkpoint", lambda: steps(spec.folder / "checkpoints"))
    (child,) = children(command.pid)
    meters = children(child)
    os.kill(child, signal.SIGKILL)
    assert command.wait(LIMIT_S) != 0
    wait_for("the meter's end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in meters))
    first = read_cost(spec.folder)
    first_s = time.monotonic() - began
    assert first is not None
    assert first.energy_kwh is not None
    assert 1 < first.device_hours * 3600 < first_s
    assert start(spec).wait(LIMIT_S) == 0

    both = read_cost(spec.folder)
    assert both is not None
    assert both.energy_kwh is not None
    assert first.device_hours < both.device_hours < (time.monotonic() - began) / 3600
    sessions = [read_json(file) for file in (spec.folder / "cost").iterdir()]
    assert len(sessions) == 2
    assert both.energy_kwh == sum(each["energy_kwh"] for each in sessions)
    assert both.energy_kwh > first.energy_kwh > 0
    logged = [event["values"] for event in read_events(spec.folder) if "energy_kwh" in event["values"]]
    assert logged == [both.metrics()]

    assert start(spec).wait(LIMIT_S) == 0
    assert read_cost(spec.folder) == both, "a training that is done costs nothing more"
