"""Sharding and labelling killed at random moments: all files end as if nobody had, and little was done twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from allears.engine.processes import AHEAD
from allears.storage.files import write_json
from tests.faults.steps import STARTED, contents
from tests.faults.work import WORKERS
from tests.long import LONG, report
from tests.processes import begun
from tests.project import ROOT, environment
from tests.support import make_shards
from tests.unit.shards.recordings import as_handle, make_recordings

KILLS = 50 if LONG else 2
KILLS_A_TRIAL = 3  # then it may end, and is compared
LIMIT_S = 300
IN_FLIGHT = AHEAD * WORKERS  # files dealt to the workers, written or not, and not in the journal yet
# Imported by every Python that is started: notes each tar and each file of labels that is put in its place.
NOTE_WRITES = """
import os, sys
log = os.open(os.environ["NOTED_WRITES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith((".tar", ".labels.arrow")):
        os.write(log, os.fsencode(os.path.basename(arguments[1])) + b"\\n")
sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Setting:
    """What there is to work on in `before`, and what an undisturbed run made of it: files, and how long it took. All
    runs are in `project`, as handles name their folder.
    """

    before: Path
    project: Path
    after: dict[str, bytes]
    seconds: float
    written: int


def start(step: str, project: Path) -> subprocess.Popen[str]:
    """The step in a process group of its own; returns once it begins to work."""
    env = environment(NOTED_WRITES=str(project / "writes"), OMP_NUM_THREADS="1")
    env["PYTHONPATH"] = os.pathsep.join([str(project / "site"), str(ROOT), env.get("PYTHONPATH", "")])
    return begun([sys.executable, "-m", "tests.faults.work", step], STARTED, project, env)


def finish(step: str, project: Path) -> float:
    """Run the step to its end; its seconds."""
    process = start(step, project)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    return time.monotonic() - begun


def writes(project: Path) -> int:
    return len((project / "writes").read_text().splitlines())


@pytest.fixture
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    folder = tmp_path / "before"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(NOTE_WRITES)
    if request.param == "shard":
        table = make_recordings(folder / "recordings", files=60 if LONG else 24, seconds=4.0)
        write_json(folder / "manifest.json", as_handle(table, folder / "manifest").to_json())
    else:
        with contextlib.chdir(folder):  # handles name their folder as they were told it
            make_shards(Path("shards"), clips=240, shards=24 if LONG else 12)
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    seconds = finish(request.param, project)
    return Setting(folder, project, contents(project), seconds, writes(project))


@pytest.mark.parametrize(("step", "setting"), [("shard", "shard"), ("label", "label")], indirect=["setting"])
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(step: str, setting: Setting) -> None:
    moments, project = np.random.default_rng(0), setting.project
    assert setting.written > 8
    kills = trials = twice = most = 0
    while kills < KILLS:
        shutil.rmtree(project)
        shutil.copytree(setting.before, project)
        here = 0
        for _ in range(min(KILLS_A_TRIAL, KILLS - kills)):
            process = start(step, project)
            time.sleep(moments.uniform(0, setting.seconds))
            if process.poll() is None:
                here += 1
                # half the time the workers are left alone, to notice by themselves
                (os.killpg if moments.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
            process.communicate(timeout=LIMIT_S)
        finish(step, project)
        again = writes(project) - setting.written
        assert contents(project) == setting.after
        assert 0 <= again <= here * IN_FLIGHT
        kills, trials, twice, most = kills + here, trials + 1, twice + again, max(most, again)
    unit = "tars" if step == "shard" else "files of labels"
    report(f"{step}: killed", f"{kills} times in {trials} runs of {setting.written} {unit}; all files identical")
    report(f"{step}: written twice", f"{twice} of {trials * setting.written} {unit}, at most {most} in a run")
