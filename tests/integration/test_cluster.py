"""Ingest, audit, shard and labelling on a real Ray cluster of two nodes: the bytes that local processes make, also when
a node, a worker or the command itself is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from allears.corpus.manifest import Manifest
from allears.engine.mapping import map_items
from allears.errors import AllearsError
from allears.params.base import Paths
from allears.params.engine import EngineParams
from allears.params.shard import ShardParams
from allears.pipelines.shard.nodes import write_shards
from allears.storage.files import read_json, write_json
from allears.training.label import prepare_units
from allears.training.plan import training_data
from tests.cluster import LIMIT_S, Nodes, two_nodes, working_on
from tests.faults.steps import contents
from tests.long import only_long
from tests.pretraining import tiny
from tests.project import ROOT, environment, kedro, make_project
from tests.real import REAL
from tests.support import make_shards
from tests.unit.shards.recordings import as_handle, make_recordings, verdicts_of

FILES, REAL_FILES = 15, 3  # REAL_FILES of each corpus
STEPS = 4  # that map: headers, measures, excerpts, tars
LAYERS = ("data/02_", "data/03_", "data/05_")  # the others hold what is remembered, and pages


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with two_nodes() as found:
        yield found


@pytest.fixture
def nodes(cluster: Nodes) -> Nodes:
    """Both are there, whatever an earlier test has killed."""
    cluster.complete()
    return cluster


def make_corpus(folder: Path) -> Path:
    """Short files of every kind that is decoded in its own way, one that becomes pieces, a copy and no audio."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(FILES):
        noise_T = random.normal(0, 0.1, 16_000 + 800 * i)
        soundfile.write(folder / f"{i:03d}.{('wav', 'flac', 'ogg')[i % 3]}", noise_T, 16_000)
    soundfile.write(folder / "long.wav", random.normal(0, 0.1, 70 * 8_000), 8_000)
    shutil.copy(folder / "000.wav", folder / "copy.wav")
    (folder / "bad.wav").write_text("no audio")
    for corpus in REAL.glob("*"):  # where there are some: speech and sounds as people record them
        for file in sorted(each for each in corpus.rglob("*") if each.suffix in (".opus", ".ogg", ".wav"))[:REAL_FILES]:
            shutil.copy(file, folder / f"{corpus.name}-{file.name}")
    return folder


def made(project: Path, corpus: Path, *more: str) -> dict[str, bytes]:
    """What the command makes of a corpus in a project of its own, at the same place each time: handles name it."""
    told = (f"corpus=mine,ingest.path={corpus}", "ingest.licence=CC0-1.0", *more)
    done = kedro(
        make_project(project), "run", "--pipelines", "ingest,audit,shard", "--env", "smoke", "--params", ",".join(told)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name: data for name, data in contents(project).items() if name.startswith(LAYERS)}
    shutil.rmtree(project)
    return found


def test_ingest_audit_and_shard_make_the_same_bytes(nodes: Nodes, tmp_path: Path) -> None:
    corpus, project = make_corpus(tmp_path / "corpus"), tmp_path / "project"
    expected, before = made(project, corpus), nodes.started()
    assert not before
    found = made(project, corpus, "engine.kind=ray", f"engine.address={nodes.address}")
    assert found == expected
    assert {".parquet", ".jsonl", ".json", ".tar"} <= {Path(name).suffix for name in expected}
    assert nodes.started() >= STEPS
    assert not nodes.agents()


def test_labelling_makes_the_same_bytes(nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # its paths are relative, as in a run
    params = tiny(objective="masked_units")
    data = training_data(*make_shards(Path("shards"), clips=30, shards=4), params)
    labelled: dict[str, dict[str, bytes]] = {}
    for engine in (EngineParams(), nodes.engine):
        with working_on(engine):
            handle = prepare_units(data, params, Path(engine.kind))
        labelled[engine.kind] = {file.name: file.read_bytes() for file in Path(handle["folder"]).glob("*.arrow")}
    assert labelled["ray"] == labelled["processes"]
    assert len(labelled["ray"]) == 4


def shard(manifest: Path, data: Path) -> None:
    handle = Manifest.from_json(read_json(manifest))
    verdicts, _ = verdicts_of(handle.frame(["clip"]))
    write_shards(handle, verdicts, ShardParams(min_shards=16), Paths(corpus="tiny", data=data))


def once(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """A thread that acts as soon as something is so."""

    def watch() -> None:
        until = time.monotonic() + 6 * LIMIT_S  # workers start slowly where the machine is busy
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def files(folder: Path) -> dict[str, bytes]:
    """All but handles, which name the folder."""
    found = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".json"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def test_a_node_that_dies_in_the_middle_costs_no_byte(nodes: Nodes, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    table = make_recordings(tmp_path / "recordings", files=60, seconds=8.0)
    write_json(manifest, as_handle(table, tmp_path / "manifest").to_json())
    shard(manifest, tmp_path / "here")
    parts = tmp_path / "there" / "05_model_input" / "tiny" / "shards" / "parts"
    written: list[int] = []

    def lose() -> None:
        written.append(len(list(parts.glob("*.parquet"))))
        nodes.lose()

    thread = once(lambda: len(list(parts.glob("*.parquet"))) >= 2, lose)
    with working_on(nodes.engine):
        shard(manifest, tmp_path / "there")
    thread.join()
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert 2 <= written[0] < len(list(parts.glob("*.parquet")))


def fragile(item: str) -> str:
    """Kills its agent: once where a file can note it, for ever where there is none."""
    noted = Path(item)
    if not noted.exists():
        if noted.parent.exists():
            noted.touch()
        agent = psutil.Process().parent().parent()  # of the fork server
        assert "ray::Agent" in agent.cmdline()[0]
        agent.kill()
        time.sleep(60)
    return noted.name.upper()


def test_a_lost_worker_is_replaced_and_a_deadly_item_costs_itself_alone(nodes: Nodes, tmp_path: Path) -> None:
    names = [tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path / "nowhere" / "d"]
    names[1].touch()
    (tmp_path / "out").mkdir()
    with working_on(nodes.engine):
        outcomes = list(
            map_items(fragile, [str(name) for name in names], key=str, journal=tmp_path / "out" / "j.jsonl", title="")
        )
    assert [each.result or each.reason for each in outcomes] == ["A", "B", "C", "worker_died"]
    assert len((tmp_path / "out" / "j.jsonl").read_text().splitlines()) == 3
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["j.jsonl"]


def test_a_node_without_our_environment_ends_the_run(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "allears").mkdir()
    (tmp_path / "allears" / "__init__.py").write_text("raise ImportError('another environment')")
    items = ["a", "b", "c"]
    with (
        nodes.another(PYTHONPATH=str(tmp_path)),
        working_on(EngineParams(kind="ray", address=nodes.address, workers=3)),
        pytest.raises(AllearsError, match=r"a node cannot start a worker: .*another environment.*constraints\.txt"),
    ):
        list(map_items(slow, items, key=str, journal=tmp_path / "j.jsonl", title=""))


def test_work_that_a_node_cannot_import_ends_the_run(nodes: Nodes, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom allears.engine.mapping import map_items\n"
        "def work(item):\n    return item\n"
        f"list(map_items(work, ['a', 'b'], key=str, journal=Path({str(tmp_path / 'j')!r}), title=''))\n"
    )
    with working_on(nodes.engine):
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "AllearsError: node" in done.stderr
    assert "not in the script itself" in done.stderr


def slow(item: str) -> str:
    """A fifth of a second of work."""
    time.sleep(0.2)
    return item.upper()


@pytest.mark.parametrize("kill", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=only_long)])
def test_a_command_that_is_killed_leaves_nobody_on_the_nodes(nodes: Nodes, kill: int, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    items = [f"item-{i:02d}" for i in range(40)]
    script = tmp_path / "command.py"
    script.write_text(
        "from pathlib import Path\nfrom allears.engine.mapping import map_items\n"
        "from tests.integration.test_cluster import slow\n"
        f"list(map_items(slow, {items}, key=str, journal=Path({str(journal)!r}), title='slow'))\n"
    )
    with working_on(nodes.engine):
        env = environment(PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen([sys.executable, str(script)], env=env, cwd=tmp_path, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while not journal.exists() or len(journal.read_bytes().splitlines()) < 5:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        family = [child for agent in nodes.agents() for child in [agent, *agent.children(recursive=True)]]
        assert len(family) >= 4
        process.send_signal(kill)
        process.communicate(timeout=LIMIT_S)
        _, alive = psutil.wait_procs(family, timeout=LIMIT_S)
        assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
        outcomes = list(map_items(slow, items, key=str, journal=journal, title="slow"))
    assert [each.result for each in outcomes] == [item.upper() for item in items]
    assert 5 <= sum(not each.fresh for each in outcomes) < len(items)
