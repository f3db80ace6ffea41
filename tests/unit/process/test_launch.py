"""The child process: what it needs, how its failures are told, what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from allears.errors import ConfigError, TrainingError
from allears.params.probe import ProbeParams
from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_probe import ProbeSpec
from allears.process.events import EventLog, history, read_events
from allears.process.launch import launch
from allears.process.orphan import PARENT
from allears.process.spec_file import enter_project, read_spec, write_spec
from allears.storage.files import read_json
from allears.training.run import main
from tests.pretraining import make_spec, tiny
from tests.support import make_shards

BARE = """
import json, sys
HIDDEN = set(json.loads(sys.argv.pop()))
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from allears.training.run import main
status = main(sys.argv[1:])
loaded = HIDDEN & {name.split(".")[0] for name in sys.modules}
assert not loaded, loaded
sys.exit(status)
"""


def packages_of_a_node() -> set[str]:
    """What the dependency group `train` installs, itself and what that needs: names of distributions."""
    found: set[str] = set()
    wanted = [
        Requirement(one) for one in tomllib.loads(Path("pyproject.toml").read_text())["dependency-groups"]["train"]
    ]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with suppress(metadata.PackageNotFoundError):
            wanted += [Requirement(one) for one in metadata.requires(name) or ()]
    return found


def test_it_trains_with_the_packages_of_the_group_train_alone(tmp_path: Path) -> None:
    there = packages_of_a_node() | {"allears"}
    hidden = {
        module
        for module, of in metadata.packages_distributions().items()
        if not there & {canonicalize_name(one) for one in of}
    }
    assert {"kedro", "mlflow", "pandera", "pandas", "webdataset", "ffmpeg", "plotly"} <= hidden
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, tmp_path / "run", tiny(objective="masked_units", updates=2))
    write_spec(spec.folder / "spec.json", spec)
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(spec.folder / "spec.json"), json.dumps(sorted(hidden))],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 of 2 updates" in done.stdout
    assert read_json(spec.folder / "receipt.json")["notes"]["updates"] == 2


def test_the_child_s_sentence_becomes_the_parent_s_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, tmp_path / "run", tiny())
    for tar in (tmp_path / "shards").glob("*.tar"):
        tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(TrainingError, match=r"shard .*tar, clip clip-.*offset \d+: these are not the bytes"):
        launch(spec, spec.folder)
    assert "Traceback" in (spec.folder / "error-traceback.txt").read_text()
    assert not (spec.folder / "receipt.json").exists()


def test_a_child_whose_parent_is_gone_ends_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "allears.training.run", str(tmp_path / "none.json")],
        env=os.environ | {PARENT: "1"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert not done.stderr


def test_a_spec_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    spec = make_spec(make_shards(tmp_path / "shards", clips=20), tmp_path / "run", tiny())
    write_spec(path, spec)
    assert read_spec(path) == spec
    path.write_text(path.read_text().replace('"updates": 8', '"updates": -8'))
    with pytest.raises(ConfigError, match=r"pretrain\.updates"):
        read_spec(path)
    path.write_text('{"task": "sing"}')
    with pytest.raises(ConfigError, match="sing"):
        read_spec(path)


def test_events_survive_half_a_line(tmp_path: Path) -> None:
    EventLog(tmp_path).metrics(1, 0.1, {"loss": 2.0})
    with (tmp_path / "events.jsonl").open("a") as log:
        log.write('{"t": 1, "kind": "metr')
    EventLog(tmp_path).metrics(2, 0.2, {"loss": 1.0})
    assert [event["step"] for event in read_events(tmp_path)] == [1, 2]


def test_what_was_done_again_after_a_kill_is_in_the_history_once(tmp_path):
    log = EventLog(tmp_path)
    for first, steps in ((0, (10, 20, 30)), (20, (30, 40))):
        log.start(first, 0.0, {})
        for step in steps:
            log.metrics(step, 0.0, {"loss": float(step)})
    assert [event["step"] for event in history(tmp_path) if event["kind"] == "metrics"] == [10, 20, 30, 40]
    assert len(read_events(tmp_path)) == 7


def test_a_training_works_in_its_project_from_wherever_it_is_started(tmp_path, monkeypatch):
    """On a node of a cluster torchrun is started anywhere; a spec that was moved by itself is refused."""
    folder = Path("data/07_model_output/mine/probe/0123")
    spec = ProbeSpec(
        folder=folder, identity="0123", shard_set={}, clips=Path("clips"), encoder=Path("x"), probe=ProbeParams()
    )
    (tmp_path / "project" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is the spec of data/07_model_output/mine/probe/0123, and lies elsewhere"):
        enter_project(tmp_path / "project" / "spec.json", spec)
    assert Path.cwd() == tmp_path
    enter_project(Path("project") / folder / "spec.json", spec)
    assert Path.cwd() == tmp_path / "project"


@pytest.mark.parametrize("task", ["pretrain", "probe", "finetune"])
def test_a_gpu_that_is_not_there_is_one_sentence(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    shards = make_shards(tmp_path / "shards", clips=20)
    folder = tmp_path / "run"
    common = {"folder": folder, "identity": "x", "shard_set": shards[0].to_json(), "clips": shards[1]}
    spec = {
        "pretrain": lambda: make_spec(shards, folder, tiny(accelerator="gpu")),
        "probe": lambda: ProbeSpec(**common, encoder=folder, probe=ProbeParams(), accelerator="gpu"),
        "finetune": lambda: FinetuneSpec(
            **common, encoder=folder, baselines=folder, corpus="x", plans=(), finetune={"accelerator": "gpu"}
        ),
    }[task]()
    write_spec(folder / "spec.json", spec)
    assert main([str(folder / "spec.json")]) == 1
    sentence = read_json(folder / "error.json")["error"]
    group = "finetune" if task == "finetune" else "pretrain"
    assert sentence.startswith(f"{group}.accelerator is gpu, but torch finds no GPU on this machine")
    assert capsys.readouterr().err == f"{sentence}\n"
