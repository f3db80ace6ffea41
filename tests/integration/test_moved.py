"""Projects are copied and moved: each works on its own files, whatever is done in the other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import stewardship as steward
from tests.project import environment, kedro


def allears(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "allears", *arguments],
        cwd=project, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steward.make_steward_project(tmp_path_factory.mktemp("original"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_withdrawal_in_a_copy_touches_the_copy_only(project: Path, tmp_path: Path) -> None:
    allears(project, "shards", "copy", "mine", "elsewhere/shards")
    allears(project, "shards", "export", "mine", "--to", "nemo", "--out", "elsewhere/nemo")
    before = files(project)
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    clips = steward.table(copy, "05_model_input/mine/clips.parquet")
    train = clips[clips["split"] == "train"]
    clip, speaker = str(train["clip"].iloc[0]), str(train["speaker"].iloc[0])
    done = allears(copy, "withdraw", "mine", "--file", f"{copy}/rec/{speaker}-take0.wav", "--yes")
    assert "elsewhere/nemo: it may hold the same audio" in done.stdout
    assert str(project) not in done.stdout
    assert f"rec/{speaker}-take0.wav" in done.stdout
    assert clip not in steward.table(copy, "05_model_input/mine/clips.parquet")["clip"].to_list()
    assert files(copy / "elsewhere/shards") != files(project / "elsewhere/shards")
    assert files(project) == before


def test_a_moved_project_goes_on(project: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True)).rename(tmp_path / "moved")
    journal = moved / "data/03_primary/mine/measures.jsonl"
    before = journal.read_text()
    done = kedro(moved, *steward.RUN)
    assert done.returncode == 0, done.stderr[-3000:]
    assert journal.read_text() == before
    assert "0 tars written now" in done.stdout + done.stderr
    clip = str(steward.manifest(moved)["clip"].iloc[0])
    found = json.loads(allears(moved, "trace", clip, "--json").stdout)
    assert (found["source"]["state"], found["shard"]["state"]) == ("as noted", "as noted")
    assert found["source"]["file"] == "rec/anna-take0.wav"
    assert "are as they were written" in allears(moved, "shards", "verify", "mine").stdout
    units = "data/04_feature/mine/units/0123"  # which no training of this project uses
    assert allears(moved, "gc", "mine").stdout.splitlines()[0].split()[2] == units
