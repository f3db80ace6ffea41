"""MLflow is away, or hangs up, while a run goes on; the next command sends what was kept."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.project import kedro, make_project, make_recordings

MINE = "corpus=mine,ingest.path=rec,ingest.licence=CC0-1.0"


@pytest.fixture
def hangs_up() -> Iterator[str]:
    """A server that takes connections and closes them without a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()
        thread.join()


def test_the_run_goes_on_and_the_next_command_sends_it(tmp_path: Path, hangs_up: str) -> None:
    make_recordings(tmp_path / "rec")
    project = make_project(tmp_path)
    before = time.monotonic()
    down = kedro(project, "run", "--pipeline", "ingest", "--params", MINE, MLFLOW_TRACKING_URI=hangs_up)
    assert time.monotonic() - before < 120
    assert down.returncode == 0, down.stderr
    said = " ".join((down.stdout + down.stderr).split())
    assert said.count("The run goes on") == 1
    assert "waits here until MLflow answers" in said
    assert "Traceback" not in said
    assert not (project / "mlflow.db").exists()
    up = kedro(project, "run", "--pipeline", "ingest", "--params", "corpus=mine")
    assert up.returncode == 0, up.stderr
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("allears").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert all(run.data.params["ingest.segment"] == "fixed" for run in runs)
    assert all(run.inputs.dataset_inputs for run in runs)
