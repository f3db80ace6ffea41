"""Where runs are sent to: local URIs and places of artifacts hold no path of the project, whatever it is called."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from allears.storage.portable import portable, portable_text, portable_values
from allears.tracking.store import store_at

SEND = """
from pathlib import Path
from allears.tracking import Outbox, TrackedRun
from allears.tracking.sender import Sender
from allears.tracking.store import store_at
box = Outbox(Path("data/.tracking"), "a" * 32)
run = TrackedRun(box, "a" * 32, "audit", {})
page = Path("page.html")
page.write_text("<p>")
run.artifact(page, "pages")
run.end("FINISHED")
sender = Sender(box.folder, store_at("sqlite:///mlflow.db", "allears"))
assert sender.send() and sender.done
print(sender.link())
"""


@pytest.mark.parametrize("name", ["100%41", "q?a", "a#b;c&d+e ü"])
def test_a_folder_s_name_is_quoted_nowhere_and_nothing_lies_outside_of_it(tmp_path, name):
    project = tmp_path / name
    project.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SEND],
        cwd=project, capture_output=True, text=True, timeout=120, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:5000/#/experiments/1/runs/")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in project.glob("mlruns/*/artifacts/pages/*")] == ["page.html"]
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        assert str(tmp_path) not in "".join(database.iterdump())
        assert {one for (one,) in database.execute("select artifact_location from experiments")} == {
            "mlruns", "mlruns/0",
        }  # fmt: skip


def test_a_database_in_the_project_is_named_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for uri in ("sqlite:///mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"):
        assert store_at(uri, "allears") == store_at("sqlite:///mlflow.db", "allears")
    shared = store_at("sqlite:////shared/mlflow.db", "allears")
    assert (shared.uri, shared.artifacts) == ("sqlite:////shared/mlflow.db", (tmp_path / "mlruns").as_uri())
    server = store_at("http://host:5000/", "allears")
    assert (server.uri, server.artifacts) == ("http://host:5000/", None)
    assert server.link("1", "r") == "http://host:5000/#/experiments/1/runs/r?workflowType=machine_learning"


def test_paths_below_the_project_are_relative_and_others_are_not(tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "link").symlink_to(project)
    (project / "out").symlink_to(tmp_path)
    monkeypatch.chdir(project)
    inside = ("rec", project / "rec", tmp_path / "link" / "rec", "../project", "out/x")
    assert [str(portable(path)) for path in inside] == ["rec", "rec", "rec", ".", "out/x"]
    assert portable("../other") == tmp_path / "other"
    assert portable(f"{project}s") == tmp_path / "projects"
    assert [portable_text(text) for text in (f"{project}/a", f"{project}s/a", "a /b", "")] == [
        "a", f"{project}s/a", "a /b", "",
    ]  # fmt: skip
    assert portable_values({"a": [f"{project}/b", 1], "c": None}) == {"a": ["b", 1], "c": None}
