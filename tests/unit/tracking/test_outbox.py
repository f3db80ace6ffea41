import json
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest

from allears.errors import StorageError
from allears.tracking import Outbox, TrackedRun, child_run, current, recent_runs, recover
from allears.tracking.current import entered
from allears.tracking.flatten import clean, flatten
from allears.tracking.outbox import OPS, read_ops

WRITER = """
import sys, time
from pathlib import Path
from allears.tracking import Outbox, TrackedRun
root, events = Path(sys.argv[1]), Path(sys.argv[2])
run = TrackedRun(Outbox(root, "a" * 32), "a" * 32, "pretrain", {"corpus": "mine"})
run.child("encoder").follow(events)
run.box._file.write('{"op": "metr')  # killed in the middle of a line
run.box._file.flush()
print("ready", flush=True)
time.sleep(60)
"""


def ops(folder):
    return [op for op, _ in read_ops(folder)]


def test_what_was_appended_is_read_back_from_any_offset(tmp_path):
    box = Outbox(tmp_path, "u" * 32)
    run = TrackedRun(box, "u" * 32, "ingest", {})
    run.params({"ingest": {"limit": 3}})
    run.metrics({"loss": 1.5}, step=2)
    whole = list(read_ops(box.folder))
    assert [op["op"] for op, _ in whole] == ["start", "params", "metrics"]
    for i, (_, behind) in enumerate(whole):
        assert list(read_ops(box.folder, behind)) == whole[i + 1 :]


def test_half_a_line_waits_for_its_end(tmp_path):
    box = Outbox(tmp_path, "u" * 32)
    TrackedRun(box, "u" * 32, "ingest", {})
    with (box.folder / OPS).open("a") as file:
        file.write('{"op": "end"')
    assert [op["op"] for op in ops(box.folder)] == ["start"]


def test_a_killed_writer_ends_as_killed_and_a_living_one_is_left_alone(tmp_path):
    events = tmp_path / "events.jsonl"
    events.write_text('{"kind": "metrics"}\n')
    root = tmp_path / "boxes"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(events)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    assert recover(root) == []
    assert recent_runs(root, 5)[0].status == "RUNNING"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    (left,) = recover(root)
    assert recover(root) == [left]  # and again changes nothing
    kinds = [(op["op"], op.get("status"), op.get("until")) for op in ops(left)]
    assert kinds[-3:] == [
        ("unfollow", None, events.stat().st_size),
        ("end", "KILLED", None),
        ("end", "KILLED", None),
    ]
    info = recent_runs(root, 5)[0]
    assert (info.name, info.corpus, info.status, info.sent) == ("pretrain", "mine", "KILLED", False)


def test_an_artifact_is_sent_as_it_was_when_it_was_logged(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("before")
    box = Outbox(tmp_path / "boxes", "u" * 32)
    run = TrackedRun(box, "u" * 32, "audit", {})
    run.artifact(page, "pages")
    page.write_text("after")
    assert (box.folder / ops(box.folder)[-1]["path"]).read_text() == "before"


def test_a_dataset_is_noted_once(tmp_path):
    box = Outbox(tmp_path, "u" * 32)
    run = TrackedRun(box, "u" * 32, "audit", {})
    for digest in ("a", "a", "b"):
        run.dataset("manifest", digest, rows=1, hours=0.1, size_bytes=10)
    assert [op["digest"] for op in ops(box.folder)[1:]] == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_nested_run_ends_as_its_body_does(tmp_path, error, status):
    box = Outbox(tmp_path, "u" * 32)
    main = TrackedRun(box, "u" * 32, "pretrain", {})
    with pytest.raises(error) if error else nullcontext():  # noqa: SIM117
        with entered(main), child_run("encoder", tmp_path) as child:
            assert child is current()
            child.metrics({"loss": 1.0}, step=0)
            if error:
                raise error
    written = ops(box.folder)
    assert [op["op"] for op in written] == ["start", "start", "follow", "metrics", "unfollow", "end"]
    assert written[1]["parent"] == main.uid
    assert written[-1]["status"] == status
    assert current() is None


def test_without_a_run_nothing_is_logged(tmp_path):
    with child_run("encoder", tmp_path) as child:
        assert child is None
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Outbox(tmp_path / "file", "u" * 32)


def test_parameters_become_flat_text():
    assert flatten({"a": {"b": 1, "c": [1, "x"]}, "d": None, "e": "text", "f": {}}) == {
        "a.b": "1", "a.c": '[1, "x"]', "d": "null", "e": "text", "f": "{}",
    }  # fmt: skip
    assert len(flatten({"long": "x" * 10_000})["long"]) == 6000
    assert clean("accuracy (10 %)") == "accuracy _10 __"
    assert json.loads(flatten({"x": float("inf")})["x"]) == float("inf")
