"""Ingest and audit killed at random moments: in the end every file is as if nobody had, and little was done twice."""

from __future__ import annotations

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
import soundfile

from allears.corpus.opening import MOST_TOGETHER
from allears.engine.processes import AHEAD
from tests.faults.steps import STARTED, WORKERS, contents
from tests.long import LONG, only_long, report
from tests.processes import begun
from tests.project import ROOT, environment

KILLS = 50 if LONG else 2
KILLS_A_TRIAL = 3  # then it may end, and is compared
FILES = 240 if LONG else 24
LIMIT_S = 300
IN_FLIGHT = AHEAD * WORKERS * MOST_TOGETHER  # dealt to the workers, done or not, and not in the journal yet
# Imported by every Python that is started: notes each recording whose bytes are read for its digest, which ingest and
# audit do once each time that they decode it.
NOTE_READS = """
import os, sys
log = os.open(os.environ["NOTED_READS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, arguments):
    if event == "open" and arguments[1] == "r" and str(arguments[0]).startswith(os.environ["NOTED_FOLDER"]):
        os.write(log, os.fsencode(os.path.basename(arguments[0])) + b"\\n")
sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Setting:
    """A corpus, and what undisturbed runs made of it: `before` each step, `after` it, how long it took, and how many
    recordings it read (the audit's page reads some again, to be listened to).
    """

    folder: Path
    before: dict[str, Path]
    after: dict[str, Path]
    seconds: dict[str, float]
    reads: dict[str, int]

    def start(self, step: str, reads: Path) -> subprocess.Popen[str]:
        """The step in a process group of its own in the folder beside `reads`; returns once it begins to work."""
        env = environment(NOTED_READS=str(reads), NOTED_FOLDER=str(self.folder / "corpus"))
        env["PYTHONPATH"] = os.pathsep.join([str(self.folder / "site"), str(ROOT), env.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "tests.faults.steps", str(self.folder / "corpus"), step]
        return begun(command, STARTED, reads.parent, env)

    def finish(self, step: str, reads: Path) -> float:
        """Run the step to its end; its seconds."""
        process = self.start(step, reads)
        start = time.monotonic()
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, output
        return time.monotonic() - start


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("killed")
    for name in ("corpus", "site"):
        (folder / name).mkdir()
    (folder / "site" / "sitecustomize.py").write_text(NOTE_READS)
    rng = np.random.default_rng(0)
    for i in range(FILES):
        kind = ("wav", "flac", "ogg")[i % 3]
        soundfile.write(folder / "corpus" / f"{i:03d}.{kind}", rng.normal(0, 0.1, 16_000 + 400 * i), 16_000)
    (folder / "corpus" / "bad.wav").write_text("no audio")
    made = Setting(folder, {"ingest": folder / "empty", "audit": folder / "ingest"}, {}, {}, {})
    for step in ("ingest", "audit"):
        made.after[step] = folder / step
        shutil.copytree(made.before[step], made.after[step]) if step == "audit" else made.after[step].mkdir()
        made.seconds[step] = made.finish(step, made.after[step] / "reads")
        made.reads[step] = len((made.after[step] / "reads").read_text().splitlines())
        assert made.reads[step] >= FILES
        (made.after[step] / "reads").unlink()
    made.before["ingest"].mkdir()
    return made


@pytest.mark.parametrize("step", ["ingest", pytest.param("audit", marks=only_long)])
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(setting: Setting, step: str, tmp_path: Path) -> None:
    moments = np.random.default_rng(0)
    kills = trials = twice = most = 0
    while kills < KILLS:
        project = tmp_path / f"{trials}"
        shutil.copytree(setting.before[step], project)
        here = 0
        for _ in range(min(KILLS_A_TRIAL, KILLS - kills)):
            process = setting.start(step, project / "reads")
            time.sleep(moments.uniform(0, setting.seconds[step]))
            if process.poll() is None:
                here += 1
                # half the time the workers are left alone, to notice by themselves
                (os.killpg if moments.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
            process.communicate(timeout=LIMIT_S)
        setting.finish(step, project / "reads")
        again = len((project / "reads").read_text().splitlines()) - setting.reads[step]
        assert contents(project) == contents(setting.after[step])
        assert 0 <= again <= here * (IN_FLIGHT + setting.reads[step] - FILES)
        kills, trials, twice, most = kills + here, trials + 1, twice + again, max(most, again)
    report(f"{step}: killed", f"{kills} times in {trials} runs of {FILES} files; all files in the end identical")
    report(f"{step}: decoded twice", f"{twice} of {trials * FILES} recordings, at most {most} in a run")
