"""`kedro run` killed and interrupted for real: the next command says so, to MLflow too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.long import only_long
from tests.project import environment, kedro, make_project, make_recordings, start_kedro

RUN = ("run", "--pipeline", "ingest", "--params", "corpus=mine")
FIRST = (*RUN[:-1], "corpus=mine,ingest.path=rec,ingest.licence=CC0-1.0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_recordings(tmp_path / "rec")
    return make_project(tmp_path)


def started(project: Path) -> subprocess.Popen[str]:
    """A run whose first lines are in the outbox."""
    process = start_kedro(project, *FIRST)
    end = time.monotonic() + 90
    while not any(path.stat().st_size for path in project.glob("data/.tracking/*/ops.jsonl")):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    return process


def status(project: Path) -> str:
    """What `allears status` shows."""
    command = [sys.executable, "-m", "allears", "status"]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout


def statuses(project: Path) -> list[str]:
    """Of all runs in MLflow, oldest first."""
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("allears")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run.info.status for run in runs]


@only_long
def test_after_sigkill_the_next_command_marks_the_run_killed(project: Path) -> None:
    process = started(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "KILLED" in status(project)
    again = kedro(project, *RUN)
    assert again.returncode == 0, again.stderr
    assert statuses(project) == ["KILLED", "FINISHED"]


def test_ctrl_c_ends_with_a_sentence_and_the_run_as_killed(project: Path) -> None:
    process = started(project)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Stopped. What was finished is kept" in output
    assert "Traceback" not in output
    assert "KILLED" in status(project)
    assert kedro(project, *RUN).returncode == 0
    assert statuses(project) == ["KILLED", "FINISHED"]


def test_a_failed_run_ends_as_failed(project: Path) -> None:
    (project / "rec" / "speaker-0" / "0.wav").write_bytes(b"")
    failed = kedro(project, *FIRST[:-1], FIRST[-1] + ",ingest.max_quarantine_share=0.01")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "Error: " in failed.stderr
    assert statuses(project) == ["FAILED"]
