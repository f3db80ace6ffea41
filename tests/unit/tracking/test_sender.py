import json
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from allears.errors import TrackingError
from allears.tracking import Outbox, Pump, TrackedRun, child_run
from allears.tracking.current import entered
from allears.tracking.outbox import STATE
from allears.tracking.sender import Sender
from allears.tracking.store import Store

UID = "f" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder}/mlflow.db", (folder / "mlruns").as_uri()


@pytest.fixture
def client(server):
    return MlflowClient(tracking_uri=server[0])


def sender(folder, server, name):
    return Sender(folder, Store(server[0], name, server[1]))


def runs(client, name):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def event(step, **values):
    return json.dumps({"t": 1000.0 + step, "kind": "metrics", "step": step, "hours_heard": step / 10, "values": values})


def a_whole_run(tmp_path):
    """A run with everything a run may have; returns its outbox and the training's folder."""
    box = Outbox(tmp_path / "boxes", UID)
    run = TrackedRun(box, UID, "pretrain", {"corpus": "mine"})
    run.params({"pretrain": {"updates": 10}})
    run.dataset("shards", "0123456789abcdef" * 4, rows=12, hours=0.5, size_bytes=99)
    page = tmp_path / "page.html"
    page.write_text("<p>")
    run.artifact(page, "pages")
    run.table("probe", pd.DataFrame({"layer": [0, 1], "accuracy": [0.5, 0.75]}))
    training = tmp_path / "training"
    training.mkdir()
    lines = [json.dumps({"kind": "params", "values": {"width": 16}}), *(event(i, loss=10.0 - i) for i in range(1000))]
    with entered(run), child_run("encoder", training):
        (training / "events.jsonl").write_text("\n".join(lines) + "\n" + '{"kind": "metr')  # cut by a kill
    run.metrics({"audit.kept (hours)": 1.5})
    run.end("FINISHED")
    return box, training


def check_whole_run(client, name):
    main, child = sorted(runs(client, name), key=lambda run: run.info.run_name, reverse=True)
    assert (main.info.run_name, main.info.status, main.data.tags["corpus"]) == ("pretrain", "FINISHED", "mine")
    assert main.data.params == {"pretrain.updates": "10"}
    assert main.data.metrics["audit.kept _hours_"] == 1.5
    dataset = main.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("shards", "0123456789abcdef" * 2)
    assert json.loads(dataset.source)["sha256"] == "0123456789abcdef" * 4
    assert json.loads(dataset.profile) == {"rows": 12, "hours": 0.5, "bytes": 99}
    paths = {item.path for folder in ("pages", "tables") for item in client.list_artifacts(main.info.run_id, folder)}
    assert paths == {"pages/page.html", "tables/probe.json"}
    assert child.data.tags["mlflow.parentRunId"] == main.info.run_id
    assert child.data.params == {"width": "16"}
    losses = client.get_metric_history(child.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in losses) == [(i, 10.0 - i) for i in range(1000)]
    heard = client.get_metric_history(child.info.run_id, "hours_heard")
    assert max(m.value for m in heard) == pytest.approx(99.9)


def test_a_run_arrives_whole(tmp_path, server, client):
    box, _ = a_whole_run(tmp_path)
    one = sender(box.folder, server, "whole")
    assert one.send()
    assert one.done
    check_whole_run(client, "whole")


def test_a_sender_that_dies_at_any_operation_is_followed_by_one_that_goes_on(tmp_path, server, client):
    box, _ = a_whole_run(tmp_path)
    for _ in range(40):
        calls = iter([False, True])  # one operation, then as if killed
        one = sender(box.folder, server, "resumed")
        one.send(lambda calls=calls: next(calls, True))
        if one.done:
            break
    assert one.done
    check_whole_run(client, "resumed")


def test_a_kill_between_creating_a_run_and_noting_it_creates_none_twice(tmp_path, server, client):
    box, _ = a_whole_run(tmp_path)
    sender(box.folder, server, "noted").send()
    (box.folder / STATE).unlink()
    box.keep(tmp_path / "page.html", f"{UID[:8]}/pages/page.html")  # what was sent is not kept
    (box.folder / "files" / UID[:8] / "tables").mkdir()
    (box.folder / "files" / UID[:8] / "tables" / "probe.json").write_text("{}")
    sender(box.folder, server, "noted").send()
    check_whole_run(client, "noted")


def test_an_unreachable_server_is_a_sentence_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    box, _ = a_whole_run(tmp_path)
    one = Sender(box.folder, Store("http://127.0.0.1:9", "away"))
    with pytest.raises(TrackingError, match=r"http://127.0.0.1:9 cannot be reached"):
        one.send()
    assert not one.done
    assert not (box.folder / STATE).exists()


def test_what_mlflow_refuses_does_not_hold_up_the_rest(tmp_path, server, client):
    box = Outbox(tmp_path / "boxes", UID)
    run = TrackedRun(box, UID, "ingest", {})
    run.params({"limit": 1})
    run.params({"limit": 2})  # MLflow keeps the first for good
    run.metrics({"rows": 3.0})
    run.end("FAILED")
    one = sender(box.folder, server, "refused")
    assert one.send()
    (found,) = runs(client, "refused")
    assert (found.info.status, found.data.params, found.data.metrics) == ("FAILED", {"limit": "1"}, {"rows": 3.0})


def test_metrics_arrive_while_the_training_goes_on(tmp_path, server, client):
    box = Outbox(tmp_path / "boxes", UID)
    run = TrackedRun(box, UID, "pretrain", {})
    training = tmp_path / "training"
    training.mkdir()
    others = set(threading.enumerate())  # of tests before this one
    pump = Pump(Store(server[0], "live", server[1]))
    pump.start([], box, run)

    def losses():
        found = [r for r in runs(client, "live") if r.info.run_name == "encoder"]
        return [m.step for m in client.get_metric_history(found[0].info.run_id, "loss")] if found else []

    with entered(run), child_run("encoder", training):
        with (training / "events.jsonl").open("a") as file:
            for step in range(3):
                file.write(event(step, loss=1.0) + "\n")
                file.flush()
        wait_until(lambda: client.get_experiment_by_name("live") is not None and len(losses()) == 3)
        assert {r.info.status for r in runs(client, "live")} == {"RUNNING"}
    run.end("FINISHED")
    assert pump.stop(30)
    main = next(r for r in runs(client, "live") if r.info.run_name == "pretrain")
    assert main.info.status == "FINISHED"
    assert main.data.metrics["system/system_memory_usage_percentage"] > 0
    assert len(set(threading.enumerate()) - others) < 20


def wait_until(what, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_what_another_command_is_sending_is_left_to_it(tmp_path, server, client):
    box, _ = a_whole_run(tmp_path)  # its lock is held, as by another command that sends it
    client.create_experiment("taken", artifact_location=server[1])
    pump = Pump(Store(server[0], "taken", server[1]))
    pump.start([box.folder])
    pump.stop(60)
    assert runs(client, "taken") == []
    box.close()
    pump = Pump(Store(server[0], "taken", server[1]))
    pump.start([box.folder])
    assert pump.stop(60)
    assert len(runs(client, "taken")) == 2


def test_runs_and_models_are_marked_as_having_used_withdrawn_clips(tmp_path, server, client):
    digest = "0123456789abcdef" * 4  # of the shards of `a_whole_run`
    box, _ = a_whole_run(tmp_path)
    box.close()
    assert sender(box.folder, server, "marked").send()
    other = Outbox(tmp_path / "boxes", "e" * 32)
    run = TrackedRun(other, "e" * 32, "mine withdraw", {"corpus": "mine"})
    run.withdrawn({digest: 2, "f" * 64: 3}, [{"name": "nobody", "digest": "d", "clips": 1}])
    run.end("FINISHED")
    other.close()
    for _ in range(2):  # sent again after a kill, it says the same
        (other.folder / STATE).unlink(missing_ok=True)
        assert sender(other.folder, server, "marked").send()
        tags = {each.info.run_name: each.data.tags.get("allears.withdrawn") for each in runs(client, "marked")}
        assert tags == {"pretrain": "2", "encoder": "2", "mine withdraw": None}
    main = next(each for each in runs(client, "marked") if each.info.run_name == "pretrain")
    page = client.download_artifacts(main.info.run_id, "pages/page.html", str(tmp_path))
    assert "were withdrawn" in Path(page).read_text()


def test_what_used_a_removed_version_is_marked_as_perhaps_and_emptied(tmp_path, server, client):
    box, _ = a_whole_run(tmp_path)
    box.close()
    assert sender(box.folder, server, "removed").send()
    for uid, counts, said in (("e", {}, "perhaps"), ("f", {"0123456789abcdef" * 4: 2}, "2"), ("d", {}, "2")):
        other = Outbox(tmp_path / "boxes", uid * 32)
        run = TrackedRun(other, uid * 32, "mine withdraw", {"corpus": "mine"})
        run.withdrawn(counts, [], ["0123456789abcdef" * 4])
        run.end("FINISHED")
        other.close()
        assert sender(other.folder, server, "removed").send()
        tags = {each.info.run_name: each.data.tags.get("allears.withdrawn") for each in runs(client, "removed")}
        assert tags == {"pretrain": said, "encoder": said, "mine withdraw": None}
    main = next(each for each in runs(client, "removed") if each.info.run_name == "pretrain")
    page = client.download_artifacts(main.info.run_id, "pages/page.html", str(tmp_path))
    assert "were withdrawn" in Path(page).read_text()
