"""`allears withdraw`, `diff`, `trace` and `gc` on a project that was really run, with MLflow in its SQLite file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tests import stewardship as steward
from tests.leftovers import leftovers
from tests.long import only_long
from tests.project import environment, kedro


def allears(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "allears", *arguments],
        cwd=project, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def run(project: Path) -> subprocess.CompletedProcess[str]:
    done = kedro(project, *steward.RUN)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steward.make_steward_project(tmp_path_factory.mktemp("steward"))


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in its files, and places of artifacts in its database, count from its folder."""
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def train_speaker(project: Path) -> str:
    clips = steward.table(project, "05_model_input/mine/clips.parquet")
    return str(clips.loc[clips["split"] == "train", "speaker"].iloc[0])


@only_long
def test_the_steward_s_year(project: Path, train_speaker: str) -> None:
    """One story, because each chapter needs the last: a delivery, a correction, a withdrawal, and what is left."""
    first = steward.manifest(project)
    tars = steward.tars(project)

    second_delivery(project, first, tars)
    correction(project)
    traced(project)
    withdrawal(project, train_speaker)
    redelivery(project, train_speaker)
    garbage(project)


def second_delivery(project: Path, first: pd.DataFrame, tars: dict[str, bytes]) -> None:
    steward.make_corpus(project / "rec", ("emil",))
    (project / "rec" / "anna-take0.wav").rename(project / "rec" / "anna-take9.wav")
    steward.write_table(project / "rec")
    said = run(project)
    assert "3 came, 1 moved, 1 corrected" in said.stdout + said.stderr  # the table has another text for take 9
    now = steward.manifest(project)
    assert list(now["clip"])[: len(first)] == list(first["clip"])
    assert (now["split"][: len(first)] == first["split"]).all()
    assert {name: steward.tars(project)[name] for name in tars} == tars
    measured = (project / "data/03_primary/mine/measures.jsonl").read_text().splitlines()
    assert len(measured) == len(now)
    shown = allears(project, "diff", "mine")
    assert shown.returncode == 0, shown.stderr
    assert "came" in shown.stdout
    found = json.loads(allears(project, "diff", "mine", "--json").stdout)
    assert {name: len(rows) for name, rows in found["clips"].items()} == {
        "came": 3, "went": 0, "changed": 0, "moved": 1, "corrected": 1,
    }  # fmt: skip
    assert found["verdicts"] == []
    assert {row["group"] for row in found["groups"] if row["axis"] == "speaker"} == {"emil"}


def correction(project: Path) -> None:
    clip = steward.manifest(project)["clip"].iloc[-1]
    file = project / "data/01_raw/mine/corrections.csv"
    file.write_text(f"clip,column,value,why\n{clip},text,what was really said,heard it\n")
    tars = steward.tars(project)
    said = run(project)
    assert "1 corrected" in said.stdout + said.stderr
    assert "0 tars written now" in said.stdout + said.stderr
    assert steward.tars(project) == tars
    clips = steward.table(project, "05_model_input/mine/clips.parquet").set_index("clip")
    assert clips.loc[clip, "text"] == "what was really said"
    file.write_text(f"clip,column,value,why\n{clip},txet,x,\n")
    failed = kedro(project, *steward.RUN)
    assert failed.returncode == 1
    assert "line 2: 'txet' cannot be corrected; did you mean 'text'?" in failed.stderr
    file.write_text(f"clip,column,value,why\n{clip},text,what was really said,heard it\n")


def traced(project: Path) -> None:
    clips = steward.table(project, "05_model_input/mine/clips.parquet")
    clip = str(clips.loc[clips["split"] == "train", "clip"].iloc[0])
    found = json.loads(allears(project, "trace", clip, "--json").stdout)
    assert (found["source"]["state"], found["shard"]["state"]) == ("as noted", "as noted")
    assert found["verdict"]["verdict"] == "keep"
    assert len(found["versions"]) == 3
    heard = {(one["kind"], Path(one["folder"]).name, one["clips"]) for one in found["trained"]}
    assert heard == {("encoder", "feedface0000", 1), ("pretraining", "0badcafe0000", None)}
    shown = allears(project, "trace", clip)
    assert "as noted" in shown.stdout
    wrong = allears(project, "trace", clip[:-1])
    assert f"did you mean '{clip}'?" in wrong.stderr


def withdrawal(project: Path, speaker: str) -> None:
    needles = steward.needles_of(project, speaker)
    assert len(leftovers(project / "data", needles)) > 20
    before, gone = steward.tars(project), set(steward.manifest(project).query("speaker == @speaker")["clip"])
    index = steward.index_of(project)
    touched = {index.shards[int(index.shard_N[index.position[clip]])] for clip in gone}
    clip = min(gone)
    file = project / "data/01_raw/mine/corrections.csv"
    file.write_text(file.read_text() + f"{clip},text,corrected too,\n")

    refused = allears(project, "withdraw", "mine", "--speaker", speaker[:-1], "--yes")
    assert refused.returncode == 1
    assert f"did you mean '{speaker}'?" in refused.stderr
    refused = allears(project, "withdraw", "mine", "--speaker", speaker, "--clip", clip, "--yes")
    assert "--speaker and --clip were given" in refused.stderr
    done = allears(project, "withdraw", "mine", "--speaker", speaker, "--yes", "--why", "asked for it")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "feedface0000" in done.stdout
    assert f"{speaker}-take1.wav" in done.stdout  # which files to delete
    assert leftovers(project / "data", needles, but=["withdrawn.jsonl"]) == []
    assert {name for name, data in steward.tars(project).items() if before[name] != data} <= touched
    assert set(before) - set(steward.tars(project)) <= touched
    for arguments in (("withdraw", "mine", "--clip", clip), ("trace", clip)):
        again = allears(project, *arguments)
        assert again.returncode == 1
        assert "withdrawn" in again.stderr
        assert "did you mean" not in again.stderr
    assert not set(steward.index_of(project).clips) & gone
    clips = steward.table(project, "05_model_input/mine/clips.parquet")  # the next plan reads these two
    assert clips["clip"].tolist() == list(steward.index_of(project).clips)
    in_mlflow(project)

    tars = steward.tars(project)
    said = run(project)  # the recordings are still there
    assert "3 withdrawn" in said.stdout + said.stderr
    assert "no line describes" not in said.stdout + said.stderr
    assert "0 tars written now" in said.stdout + said.stderr
    assert steward.tars(project) == tars
    assert leftovers(project / "data", needles, but=["withdrawn.jsonl", "metadata.csv"]) == []


def in_mlflow(project: Path) -> None:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("allears").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    tags = [each.data.tags.get("allears.withdrawn") for each in runs]
    assert tags == ["3", "3", "3", None, "3"]  # the failed one used no data; the last is the withdrawal itself
    page = client.download_artifacts(runs[0].info.run_id, "pages/audit.html")
    assert "were withdrawn" in Path(page).read_text()


def redelivery(project: Path, speaker: str) -> None:
    """The same bytes under another name, and the same samples in another container: both stay out."""
    import soundfile

    samples, rate_hz = soundfile.read(project / "rec" / f"{speaker}-take1.wav", dtype="int16")
    shutil.copyfile(project / "rec" / f"{speaker}-take2.wav", project / "rec" / "emil-take7.wav")
    soundfile.write(project / "rec" / "emil-take8.flac", samples, rate_hz, subtype="PCM_16")
    steward.write_table(project / "rec")
    with (project / "rec" / "metadata.csv").open("a") as table:
        table.write("emil-take8.flac,emil says it,emil\n")
    run(project)
    quarantine = steward.table(project, "02_intermediate/mine/quarantine.parquet")
    assert list(quarantine["reason"]) == ["withdrawn"] * 4
    assert quarantine[["clip", "path"]].isna().all(axis=None)
    rows = steward.manifest(project)
    assert not rows["path"].isin(["emil-take7.wav"]).any()
    clip = rows.loc[rows["path"] == "emil-take8.flac", "clip"].iloc[0]
    verdicts = steward.table(project, "03_primary/mine/verdicts.parquet").set_index("clip")
    assert verdicts.loc[clip, "verdict"] == "hard"
    assert "withdrawn" in verdicts.loc[clip, "reasons"]
    assert clip not in steward.index_of(project).clips


def garbage(project: Path) -> None:
    folder = project / "data/02_intermediate/mine"
    shutil.rmtree(project / "data/06_models/mine/runs/0badcafe0000")
    before = {path.name for path in (folder / "versions").iterdir()}
    dry = allears(project, "gc", "mine")
    assert "would be removed" in dry.stdout, dry.stdout + dry.stderr
    assert {path.name for path in (folder / "versions").iterdir()} == before
    done = allears(project, "gc", "mine", "--yes")
    assert done.returncode == 0, done.stderr
    handle = json.loads((folder / "manifest.json").read_text())
    left = {path.stem for path in (folder / "versions").iterdir()}
    assert handle["digest"][:12] in left
    assert len(left) < len(before)
    assert set(handle["parts"]) <= {path.name for path in (folder / "manifest").iterdir()}
    assert "Nothing to remove" in allears(project, "gc", "mine").stdout
    assert len(steward.manifest(project)) == handle["rows"]
    withdrawn_from_removed(project, {Path(name).stem for name in before} - left)


def withdrawn_from_removed(project: Path, removed: set[str]) -> None:
    """Pages of runs whose version is gone may show what is withdrawn now; the last run's version is known to."""
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    clip = str(steward.manifest(project)["clip"].iloc[0])
    done = allears(project, "withdraw", "mine", "--clip", clip, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    boxes = sorted((project / "data/.tracking").glob("*/ops.jsonl"))
    ops = [json.loads(line) for box in boxes for line in box.read_text().splitlines()]
    told = [op["removed"] for op in ops if op["op"] == "withdrawn"][-1]
    assert removed <= {digest[:12] for digest in told}
    experiment = client.get_experiment_by_name("allears").experiment_id
    for each in client.search_runs(
        [experiment], "attributes.run_name LIKE '%ingest%' and attributes.status = 'FINISHED'"
    ):
        assert each.data.tags["allears.withdrawn"]
        for page in client.list_artifacts(each.info.run_id, "pages"):
            text = Path(client.download_artifacts(each.info.run_id, page.path)).read_text()
            assert clip not in text
            assert "were withdrawn" in text
