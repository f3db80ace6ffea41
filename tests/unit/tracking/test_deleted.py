"""People delete runs, experiments and databases, and outboxes get damaged: nothing that can be sent is lost by it."""

import json
import logging
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from allears.errors import TrackingError
from allears.tracking import Outbox, Pump, TrackedRun, recent_runs, recover
from allears.tracking.outbox import ASIDE, OPS, STATE
from allears.tracking.sender import MOST_FAILURES, RefusedError, Sender
from allears.tracking.store import Store
from tests.unit.tracking.stores import client_of, new_store, run_names


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


def begin(root, letter, name="audit"):
    """Return the outbox and the run of a command that goes on."""
    box = Outbox(root / "boxes", letter * 32)
    run = TrackedRun(box, letter * 32, f"{name} {letter}", {"corpus": "mine"})
    run.params({"limit": 3})
    page = root / "page.html"
    page.write_text("<p>")
    run.artifact(page, "pages")
    return box, run


def end(box, run):
    run.metrics({"clips": 3.0})
    run.end("FINISHED")
    box.close()
    return box.folder


def whole(store, name):
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment).experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{name}'")
    pages = [each.path for each in client.list_artifacts(run.info.run_id, "pages")]
    return run.info.status, run.data.params, run.data.metrics, pages


WHOLE = ("FINISHED", {"limit": "3"}, {"clips": 3.0}, ["pages/page.html"])


@pytest.mark.parametrize("begun", [False, True])
def test_a_deleted_experiment_is_restored(tmp_path, store, begun):
    box, run = begin(tmp_path, "a")
    if begun:
        assert Sender(box.folder, store).send()
    client = client_of(store)
    client.delete_experiment(client.get_experiment_by_name(store.experiment).experiment_id)
    one = Sender(end(box, run), store)
    assert one.send()
    assert one.done
    assert whole(store, "audit a") == WHOLE


def test_an_experiment_that_is_deleted_while_it_is_written_to_is_restored(tmp_path, store):
    box, run = begin(tmp_path, "a")
    one = Sender(box.folder, store)
    assert one.send()
    client = client_of(store)
    client.delete_experiment(client.get_experiment_by_name(store.experiment).experiment_id)
    end(box, run)
    assert one.send()
    assert one.done
    assert whole(store, "audit a") == WHOLE


@pytest.mark.parametrize("anew", [False, True])
def test_a_deleted_run_is_restored(tmp_path, store, anew):
    box, run = begin(tmp_path, "a")
    one = Sender(box.folder, store)
    assert one.send()
    client = client_of(store)
    (found,) = client.search_runs([client.get_experiment_by_name(store.experiment).experiment_id])
    client.delete_run(found.info.run_id)
    folder = end(box, run)
    one = Sender(folder, store) if anew else one
    assert one.send()
    assert one.done
    assert whole(store, "audit a") == WHOLE


def test_a_run_that_is_gone_for_good_is_sent_again(tmp_path, store):
    """As `mlflow gc` leaves it, or as in a new database after the old one was deleted under a killed command."""
    box, run = begin(tmp_path, "a")
    assert Sender(box.folder, store).send()
    new_store(tmp_path)
    one = Sender(end(box, run), store)
    assert one.send()
    assert one.done
    assert whole(store, "audit a") == WHOLE


def test_what_is_always_refused_is_set_aside_after_some_commands_and_holds_up_nobody(tmp_path, store, caplog):
    box, run = begin(tmp_path, "a", "bad")
    run.box.append("end", "nobody", status="FINISHED")  # of a run that never began
    bad = end(box, run)
    for number in range(MOST_FAILURES):
        letter = "bcdefg"[number]
        good, mine = begin(tmp_path, letter)
        pump = Pump(store)
        pump.start([bad], good, mine)
        mine.end("FINISHED")
        pump.stop(60)
        good.close()
        assert pump.link() is not None
        assert run_names(store)[f"audit {letter}"] == "FINISHED"
        assert (bad / ASIDE).exists() == (number == MOST_FAILURES - 1)
    assert bad not in recover(tmp_path / "boxes")
    info = next(one for one in recent_runs(tmp_path / "boxes", 10) if one.folder == bad)
    assert (info.sent, info.aside) == (False, "KeyError: 'nobody'")
    said = next(r.getMessage() for r in caplog.records if "is set aside" in r.getMessage())
    for part in (bad.name, "KeyError: 'nobody'", str(bad / ASIDE)):
        assert part in said
    (bad / ASIDE).unlink()
    assert bad in recover(tmp_path / "boxes")


def test_one_command_counts_as_one_failure(tmp_path, store):
    box, run = begin(tmp_path, "a")
    run.box.append("end", "nobody", status="FINISHED")
    one = Sender(end(box, run), store)
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(RefusedError, match="does not take run"):
            one.send()
    assert not (box.folder / ASIDE).exists()


@pytest.mark.parametrize("text", ['{"op": "start"}\n', "[]\n", '{"no": 1}\n'])
def test_a_damaged_outbox_stops_no_command(tmp_path, store, text):
    box, run = begin(tmp_path, "b")
    folder = end(box, run)
    other, run = begin(tmp_path, "a")
    end(other, run)
    (other.folder / OPS).write_text(text)
    left = recover(tmp_path / "boxes")
    assert folder in left
    pump = Pump(store)
    pump.start(left)
    pump.stop(60)
    assert whole(store, "audit b") == WHOLE


def test_a_damaged_state_is_set_aside_by_name(tmp_path, caplog):
    box, run = begin(tmp_path, "a")
    end(box, run)
    (box.folder / STATE).write_text("{")
    assert recover(tmp_path / "boxes") == []
    assert recover(tmp_path / "boxes") == []
    assert [r.getMessage().count(box.folder.name) > 0 for r in caplog.records if r.levelno == logging.WARNING] == [True]


def test_a_damaged_database_is_said_at_once_and_is_no_run_s_fault(tmp_path, store):
    (tmp_path / "mlflow.db").write_bytes(b"not a database, and longer than its header" * 100)
    box, run = begin(tmp_path, "a")
    one = Sender(end(box, run), store)
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(TrackingError, match=r"mlflow\.db, MLflow's database, is damaged .*: move it away") as found:
            one.send()
        assert not isinstance(found.value, RefusedError)
    assert not (box.folder / ASIDE).exists()
    new_store(tmp_path)
    assert one.send()
    assert whole(store, "audit a") == WHOLE


def test_a_database_that_another_holds_is_waited_for(tmp_path, store, monkeypatch):
    monkeypatch.setattr("allears.tracking.store.BUSY_S", 0.1)
    box, run = begin(tmp_path, "a")
    one = Sender(end(box, run), store)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        with pytest.raises(TrackingError, match="is held by another process"):
            one.send()
    assert one.send()
    assert whole(store, "audit a") == WHOLE


def test_a_read_only_database_is_no_run_s_fault(tmp_path, store):
    """Opened so by SQLite itself, as the file's permissions do not bind everybody."""
    box, run = begin(tmp_path, "a")
    folder = end(box, run)
    read_only = Store(f"sqlite:///file:{tmp_path}/mlflow.db?mode=ro&uri=true", "allears", None)
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(TrackingError, match="readonly database") as found:
            Sender(folder, read_only).send()
        assert not isinstance(found.value, RefusedError)
    assert not (folder / ASIDE).exists()


@pytest.mark.parametrize("uri", ["./mlruns", "file:///nowhere/mlruns"])
def test_a_folder_of_files_is_refused_with_mlflow_s_whole_advice_and_ours(tmp_path, uri):
    box, run = begin(tmp_path, "a")
    with pytest.raises(TrackingError) as found:
        Sender(end(box, run), Store(uri, "allears")).send()
    said = str(found.value)
    assert "MLFLOW_ALLOW_FILE_STORE" in said  # the end of MLflow's own text
    assert "unset MLFLOW_TRACKING_URI" in said
    assert not isinstance(found.value, RefusedError)


def test_the_state_survives_as_json(tmp_path, store):
    box, run = begin(tmp_path, "a")
    assert Sender(end(box, run), store).send()
    assert json.loads((box.folder / STATE).read_text())["done"] is True


class Answers(BaseHTTPRequestHandler):
    """Answers everything with the status that its address begins with: `/404/api/…`."""

    def do_GET(self):
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"oops")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def broken_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "said"), [(500, "cannot be reached"), (404, "cannot be used: .*404"), (401, "cannot be used: .*401")]
)
def test_what_a_server_answers_to_everybody_is_no_run_s_fault(tmp_path, broken_server, monkeypatch, status, said):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    box, run = begin(tmp_path, "a")
    folder = end(box, run)
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(TrackingError, match=said) as found:
            Sender(folder, Store(f"{broken_server}/{status}", "allears")).send()
        assert not isinstance(found.value, RefusedError)
    assert not (folder / ASIDE).exists()
