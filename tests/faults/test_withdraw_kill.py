"""A withdrawal killed at any of its changes to the disk: the same command, or the next run, leaves nothing of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import stewardship as steward
from tests.leftovers import leftovers
from tests.long import only_long
from tests.project import environment, kedro

# The command, which kills itself before the n-th time that it replaces or removes a file; it prints how often it does.
COMMAND = """
import importlib, os, signal, sys
from allears.cli.app import app
importlib.import_module("allears.cli.withdraw")._send = lambda: None
last, done = int(sys.argv[1]), 0
def counted(real):
    def change(*given, **named):
        global done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return change
os.replace, os.unlink = counted(os.replace), counted(os.unlink)
try:
    app(["withdraw", "mine", "--speaker", sys.argv[2], "--yes"])
finally:
    print("changes", done)
"""
STONES = ["withdrawn.jsonl"]
CHANGING = (".json", ".json.tmp")  # times of day, and the name of the run


def withdraw(project: Path, speaker: str, last: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(last), speaker],
        cwd=project, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def state(project: Path) -> dict[str, bytes]:
    """Every file that a withdrawal leaves, but for those that hold a time."""
    files = (file for file in sorted((project / "data").rglob("*")) if file.is_file())
    return {
        str(file.relative_to(project)): b"" if file.name.endswith(CHANGING) else file.read_bytes()
        for file in files
        if ".tracking" not in file.parts and ".locks" not in file.parts
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = steward.make_steward_project(tmp_path_factory.mktemp("steward"))
    shutil.copytree(project / "data", project / "kept")
    return project


def restore(project: Path) -> None:
    shutil.rmtree(project / "data")
    shutil.copytree(project / "kept", project / "data")


@only_long
def test_killed_at_any_change_and_done_again(project: Path) -> None:
    speaker = "bela"
    needles = steward.needles_of(project, speaker)
    whole = withdraw(project, speaker, 0)
    assert whole.returncode == 0, whole.stderr
    changes = int(whole.stdout.split("changes ")[1])
    assert changes > 20
    expected = state(project)
    assert leftovers(project / "data", needles, but=STONES) == []
    for last in sorted({1, 2, changes, *range(3, changes, max(1, changes // 24))}):
        restore(project)
        killed = withdraw(project, speaker, last)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert leftovers(project / "data", needles, but=STONES) != [] or last > changes // 2
        again = withdraw(project, speaker, 0)
        assert again.returncode == 0, f"after change {last}: {again.stderr}"
        assert leftovers(project / "data", needles, but=STONES) == [], f"after change {last}"
        found = state(project)
        assert {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)} == set(), last


def test_the_next_run_finishes_it(project: Path) -> None:
    restore(project)
    speaker = "cleo"
    needles = steward.needles_of(project, speaker)
    assert withdraw(project, speaker, 6).returncode == -signal.SIGKILL
    done = kedro(project, *steward.RUN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "A withdrawal from corpus 'mine' was interrupted" in done.stderr
    assert leftovers(project / "data", needles, but=STONES) == []
