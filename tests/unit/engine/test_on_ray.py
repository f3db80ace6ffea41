"""What keeps a command from working on a cluster is said in a sentence, soon, before any work is done."""

import socket
import sys
import time
from pathlib import Path

import pytest

from allears.engine.agent import Place, versions
from allears.engine.chosen import VARIABLE, choose, chosen
from allears.engine.mapping import map_items
from allears.errors import AllearsError, ConfigError
from allears.params.engine import EngineParams


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def begin(folder: Path) -> None:
    list(map_items(str.upper, ["a"], key=str, journal=folder / "j.jsonl", title="testing"))


def test_local_processes_unless_something_else_is_chosen() -> None:
    assert chosen() == EngineParams() == EngineParams(kind="processes", address=None, workers=None)
    other = EngineParams(kind="ray", address="127.0.0.9:6379", workers=3)
    choose(other)
    assert chosen() == other


@pytest.mark.parametrize("text", ["ray", '{"kind": "rya"}', '{"kind": "ray", "address": "ray://127.0.0.9:10001"}'])
def test_a_wrong_choice_is_a_sentence(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=r"ALLEARS_ENGINE is .* expected JSON"):
        begin(tmp_path)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # what an import then raises is what a missing package raises
    monkeypatch.delitem(sys.modules, "allears.engine.on_ray", raising=False)
    choose(EngineParams(kind="ray"))
    with pytest.raises(ConfigError, match=r"pip install .*allears\[ray\]"):
        begin(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_a_cluster_that_does_not_answer_is_given_up_soon(
    named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        if not named:
            monkeypatch.setenv("RAY_ADDRESS", address)
        choose(EngineParams(kind="ray", address=address if named else None))
        before = time.monotonic()
        with pytest.raises(AllearsError, match=rf"no Ray cluster answers at {address}.*ray start --head"):
            begin(tmp_path)
        assert time.monotonic() - before < 20


def test_a_node_must_see_the_folder_and_have_the_same_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # it goes to the folder
    mark = tmp_path / "mark"
    mark.touch()
    here = versions()
    assert Place(str(tmp_path), str(mark), here).problem() is None
    assert {"Python", "allears", "numpy", "imageio-ffmpeg", "pytorch-lightning"} <= set(here)
    assert "cannot enter" in str(Place(str(tmp_path / "none"), str(mark), here).problem())
    assert "of its own" in str(Place(str(tmp_path), str(tmp_path / "none"), here).problem())
    other = Place(str(tmp_path), str(mark), here | {"soxr": "0.0.1"}).problem()
    assert other is not None
    assert f"has soxr {here['soxr']}, expected 0.0.1" in other
