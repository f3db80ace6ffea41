"""The whole chain as a stranger types it, in a project of its own: `kedro run --env smoke`, then again."""

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import mlcroissant
import nbformat
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from nbclient import NotebookClient

from allears.checkpoints.export import load_export
from allears.cli.stages import look
from tests.leftovers import leftovers
from tests.other_readers import assert_others_read
from tests.project import kedro, make_project
from tests.real import REAL, needs_real

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder is called what no URI may hold unquoted."""
    return make_project(tmp_path_factory.mktemp("project") / "100%41 a#ü;q&b")


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in its files count from its folder."""
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def first_run(project: Path) -> subprocess.CompletedProcess[str]:
    return kedro(project, "run", "--env", "smoke", timeout_s=400)


def written(project: Path, layer: str) -> dict[str, int]:
    """Every file of a layer with the time of its last change, in nanoseconds."""
    folder = project / "data" / layer / "sample"
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def logs(project: Path, name: str) -> dict[str, int]:
    """What expensive steps leave, MLflow's outboxes aside: path → bytes."""
    found = (project / "data").rglob(name)
    return {str(path): path.stat().st_size for path in found if ".tracking" not in path.parts}


def test_one_command_does_it_all(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    assert first_run.returncode == 0, first_run.stdout[-3000:] + first_run.stderr[-3000:]
    assert "Traceback" not in first_run.stderr
    reports = project / "data" / "08_reporting" / "sample"
    for name in ("audit.html", "report.html", "model_card.md", "datasheet.md", "croissant.json"):
        assert (reports / name).stat().st_size > 1000, name
    assert "Fine-tuning: errors on test speakers" in first_run.stdout
    page = (reports / "report.html").read_text()
    for words in ("norm of the gradient", "× real time", "that of corpus <b>sample</b>"):
        assert words in page


def test_every_row_is_accounted_for(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    primary = project / "data" / "03_primary" / "sample"
    verdicts = pd.read_parquet(primary / "verdicts.parquet")
    quarantine = pd.read_parquet(project / "data" / "02_intermediate" / "sample" / "quarantine.parquet")
    listing = pd.read_parquet(project / "data" / "02_intermediate" / "sample" / "listing.parquet")
    clips = pd.read_parquet(project / "data" / "05_model_input" / "sample" / "clips.parquet")
    assert len(listing) == len(verdicts) + len(quarantine)
    assert len(clips) == (verdicts["verdict"] != "hard").sum()
    assert set(clips["clip"]) == set(verdicts.loc[verdicts["verdict"] != "hard", "clip"])


def test_others_read_the_shards(
    project: Path, first_run: subprocess.CompletedProcess[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert_others_read(project / "data" / "05_model_input" / "sample" / "shards.json", tmp_path)


def test_mlcroissant_reads_the_document(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    dataset = mlcroissant.Dataset(project / "data" / "08_reporting" / "sample" / "croissant.json")
    read = [record["clips/clip"].decode() for record in dataset.records("clips")]
    verdicts = pd.read_parquet(project / "data" / "03_primary" / "sample" / "verdicts.parquet")
    assert read == verdicts["clip"].tolist()
    clips = pd.read_parquet(project / "data" / "05_model_input" / "sample" / "clips.parquet")
    assert [record["shards/clip"].decode() for record in dataset.records("shards")] == clips["clip"].tolist()


def test_no_held_out_speaker_was_heard(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    clips = pd.read_parquet(project / "data" / "05_model_input" / "sample" / "clips.parquet")
    heard = clips[(clips["split"] == "train") & clips["keep"]]
    held_out = clips[clips["split"] != "train"]
    assert len(heard)
    assert not set(heard["group"]) & set(held_out["group"])


def test_the_export_loads(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    handle = json.loads((project / "data" / "06_models" / "sample" / "encoder.json").read_text())
    encoder = load_export(project / handle["folder"])
    assert sum(weight.numel() for weight in encoder.parameters()) > 1000


def test_mlflow_has_one_run_with_a_nested_run_for_each_training(
    project: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    with sqlite3.connect(project / "mlflow.db") as database:
        runs = database.execute("select run_uuid, status from runs").fetchall()
        names = dict(database.execute("select run_uuid, name from runs").fetchall())
        parents = dict(database.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'").fetchall())
        metrics = database.execute("select count(*) from metrics where key like '%loss%'").fetchone()[0]
    roots = [run for run, _ in runs if run not in parents]
    assert {status for _, status in runs} == {"FINISHED"}
    assert [names[root] for root in roots] == ["sample all, standard, masked_units, seed 0"]
    nested = {names[run].split(",")[0] for run in parents}
    assert nested == {"pretrain masked_units on sample", "probe on sample", "finetune the encoder of sample on sample"}
    assert set(parents.values()) == set(roots)
    assert metrics > 0


def test_mlflow_shows_what_matters(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    """The printed address is the run's, its headline metrics are few, and every training names its data."""
    client = MlflowClient("sqlite:///./mlflow.db")  # spelled differently on purpose: MLflow caches one engine per URI
    experiment = client.get_experiment_by_name("allears")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    runs = client.search_runs([experiment.experiment_id])
    root = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    address = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs/{root.info.run_id}?workflowType=machine_learning"
    assert f"MLflow run: {address} (type mlflow ui in this folder first)" in first_run.stderr
    handle = json.loads((project / "data/02_intermediate/sample/manifest.json").read_text())
    version = f"sample@{handle['digest'][:5]}"
    for run in runs:
        assert len([name for name in run.data.metrics if not name.startswith("system/")]) <= 20, run.info.run_name
        inputs = {one.dataset.name for one in run.inputs.dataset_inputs}
        assert {f"{version}/shards"} <= inputs <= {version, f"{version}/shards"}, run.info.run_name
    assert {"audit.clips_kept", "audit.hours_kept", "pretrain.hours_heard"} <= root.data.metrics.keys()
    training = next(run for run in runs if run.info.run_name.startswith("pretrain "))
    assert {"data_wait_share", "clips_skipped", "loss", "dev_loss"} <= training.data.metrics.keys()
    tables = [one.path for one in client.list_artifacts(root.info.run_id, "tables")]
    shown = ("audit_summary", "split_comparison", "evaluation", "probe")
    assert {f"tables/{name}.json" for name in shown} <= set(tables)
    assert [one.path for one in client.list_artifacts(training.info.run_id, "tables")] == ["tables/events.jsonl"]


def test_no_file_names_the_project_s_folder(project: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    """So it can be moved and copied; those who add an absolute path to some file see it here."""
    names = [str(project), project.as_uri(), str(project.parent), quote(project.name)]
    needles = [name.encode() for name in names] + [json.dumps(names[0])[1:-1].encode()]
    assert leftovers(project / "data", needles) == []
    assert leftovers(project / "mlruns", needles) == []
    for table in project.rglob("*.parquet"):  # columns are compressed
        assert project.name not in pd.read_parquet(table).to_csv(), table
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        assert project.name not in "\n".join(database.iterdump())


def test_the_notebook_reads_the_results(
    project: Path, first_run: subprocess.CompletedProcess[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLEARS_PROJECT", str(project))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(ROOT / "notebooks" / "read_results.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_a_second_run_in_a_moved_project_decodes_and_trains_nothing(
    project: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    audio = {"05_model_input": "shards", "06_models": "runs"}
    before = {layer: written(project, layer) for layer in audio}
    journals, receipts = logs(project, "*.jsonl"), logs(project, "receipt.json")
    began = time.monotonic()
    moved = project.rename(project.parent / "moved")
    try:
        again = kedro(moved, "run", "--env", "smoke")
    finally:
        moved.rename(project)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    for layer, name in audio.items():
        after = written(project, layer)
        assert {p: t for p, t in after.items() if f"/{name}/" in p} == {
            p: t for p, t in before[layer].items() if f"/{name}/" in p
        }
    assert logs(project, "*.jsonl") == journals
    assert logs(project, "receipt.json") == receipts  # of units, pretraining, export, probe and grid
    assert time.monotonic() - began < 120


def test_status_knows_what_is_made_and_what_is_stale(
    project: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    data = project / "data"
    assert set(look(data, "sample").stages.values()) == {"up to date"}
    tables = [data / "05_model_input/sample/clips.parquet", data / "03_primary/sample/selection.parquet"]
    whole = [table.read_bytes() for table in tables]
    clips = pd.read_parquet(tables[0])
    left_out = clips.loc[clips["keep"] & (clips["split"] == "train"), "clip"].iloc[0]
    found = []
    for table in tables:  # as another audit and its shards would
        changed = pd.read_parquet(table)
        changed.loc[changed["clip"] == left_out, "keep"] = False
        changed.to_parquet(table)
        found.append(look(data, "sample").stages)
    for table, content in zip(tables, whole, strict=True):
        table.write_bytes(content)
    assert found[0]["shard"] == "stale", "the clips are not those of the selection"
    assert found[1] == {
        "audit": "up to date", "shard": "up to date", "pretrain": "stale", "finetune": "stale", "report": "stale",
    }  # fmt: skip


@needs_real
def test_real_recordings_go_the_same_way(
    project: Path, first_run: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    """A first look at each real corpus: layout detected, everything accounted for; of speech, an encoder at the end."""
    for name, licence, pipelines, made in (
        ("speechocean762", "LicenseRef-speechocean762", "pretrain", "06_models/{}/encoder.json"),
        ("esc10", "CC-BY-3.0", "ingest,audit", "08_reporting/{}/audit.html"),
    ):
        told = f"corpus={name},ingest.path={REAL / name},ingest.licence={licence},ingest.limit=80"
        found = kedro(project, "run", "--env", "smoke", "--pipelines", pipelines, "--params", told)
        assert found.returncode == 0, name + found.stdout[-3000:] + found.stderr[-3000:]
        assert (project / "data" / made.format(name)).exists()
    assert_others_read(project / "data/05_model_input/speechocean762/shards.json", tmp_path)
