"""Two commands on one corpus at the same time, for real."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.project import kedro, make_project, make_recordings, start_kedro

MINE = "corpus=mine,ingest.path=rec,ingest.licence=CC0-1.0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_recordings(tmp_path / "rec")
    return make_project(tmp_path)


def files(project: Path) -> dict[str, int]:
    """Everything below data but the first command's own outbox, with its time of change."""
    found = (path for path in (project / "data").rglob("*") if path.is_file() and ".tracking" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in found}


def wait_for(path: Path, timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def test_the_second_command_is_told_who_has_the_corpus_and_changes_nothing(project: Path) -> None:
    first = start_kedro(project, "run", "--pipeline", "ingest", "--params", MINE)
    try:
        wait_for(project / "data/.locks/mine.lock")
        os.killpg(first.pid, signal.SIGSTOP)  # it holds the corpus for as long as this test likes
        before = files(project)
        second = kedro(project, "run", "--pipeline", "ingest", "--params", "corpus=mine,ingest.limit=2")
        assert second.returncode == 1
        assert f"corpus 'mine' is in use by process {first.pid} (kedro run ingest, since" in second.stderr
        assert "nothing was changed" in second.stderr
        assert "Traceback" not in second.stdout + second.stderr
        assert files(project) == before
        other = kedro(project, "run", "--pipeline", "ingest", "--params", MINE.replace("mine", "other"))
        assert other.returncode == 0, other.stderr  # another corpus is free
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
