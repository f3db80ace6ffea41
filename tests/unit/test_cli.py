import errno
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.validation import ParameterValidationError

from allears.audit.overrides import read
from allears.cli import command
from allears.cli.app import app, project_data
from allears.cli.doctor import examine
from allears.cli.sentences import VERBOSE, sentence, sentences
from allears.cli.stages import look
from allears.corpus.build import write_manifest
from allears.errors import AudioError, ConfigError, StorageError
from allears.params.base import Paths
from allears.storage.digest import file_digest
from allears.storage.files import write_json
from allears.storage.tables import table_digest
from tests.audit_tables import manifest
from tests.project import make_recordings


def wrapped(inner: Exception, outer: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("x is wrong"), "Error: x is wrong"),
        (wrapped(StorageError("no space"), RuntimeError("node failed")), "Error: no space"),
        (wrapped(wrapped(AudioError("bad", "it is cut"), ValueError("a")), KeyError("b")), "Error: it is cut"),
        (OSError(errno.ENOSPC, "No space left on device", "/d/f"), "the disk is full"),
        (wrapped(OSError(errno.EROFS, "Read-only", "/d/f"), RuntimeError("x")), "/d/f"),
        (MemoryError(), "memory of this machine"),
        (ParameterValidationError("Parameter 'x':\n bad"), "Error: Parameter 'x': bad"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero\nallears did not foresee this"),
    ],
)
def test_the_most_telling_sentence_of_an_error_is_said(error, said):
    assert said in sentence(error)


def test_a_traceback_only_when_asked_for(capsys, monkeypatch):
    monkeypatch.delenv(VERBOSE, raising=False)
    with pytest.raises(SystemExit) as ended, sentences():
        raise ConfigError("wrong")
    printed = capsys.readouterr()
    assert (ended.value.code, printed.err, printed.out) == (1, "Error: wrong\n", "")
    with pytest.raises(SystemExit), sentences(verbose=True):
        raise ConfigError("wrong")
    assert "Traceback" in capsys.readouterr().err
    assert os.environ.pop(VERBOSE) == "1"  # child processes show theirs too


def test_ctrl_c_is_a_sentence(capsys):
    with pytest.raises(SystemExit) as ended, sentences():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "goes on where it stopped" in capsys.readouterr().err


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "conf" / "base").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_add_remembers_and_says_what_to_type_next(project):
    make_recordings(project / "rec")
    done = CliRunner().invoke(app, ["add", "mine", "rec", "--licence", "CC0-1.0", "--label", "label"])
    assert done.exit_code == 0, done.output
    assert "kedro run --pipeline pretrain --params corpus=mine" in done.output
    remembered = json.loads((project / "data/01_raw/mine/corpus.json").read_text())
    assert (remembered["label"], remembered["sources"][0]["path"]) == ("label", "rec")
    make_recordings(project / "more")
    done = CliRunner().invoke(app, ["add", "mine", "more", "--licence", "CC0-1.0"])
    assert "rec" in done.output
    assert "more" in done.output


def test_add_without_a_licence_shows_the_line_to_type(project):
    make_recordings(project / "rec")
    done = CliRunner().invoke(app, ["add", "mine", "rec"])
    assert done.exit_code == 1
    assert "ingest.licence=LICENCE" in done.output
    assert not (project / "data/01_raw/mine").exists()


@pytest.mark.parametrize("name", ["../etc", "a b", "", "x" * 50])
def test_add_refuses_impossible_names(project, name):
    make_recordings(project / "rec")
    done = CliRunner().invoke(app, ["add", name, "rec", "--licence", "CC0-1.0"])
    assert done.exit_code == 1
    assert "cannot be a name" in done.output


def test_doctor_has_a_line_for_each(project):
    findings = {finding.what: finding for finding in examine(project / "data")}
    assert list(findings) == ["Python", "ffmpeg", "codecs", "processor", "GPU", "disk", "MLflow"]
    for what in ("Python", "ffmpeg", "codecs", "disk", "MLflow"):
        assert findings[what].good, findings[what]
    assert sys.version.split()[0] in findings["Python"].found


def test_doctor_says_when_mlflow_does_not_answer(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (finding,) = [each for each in examine(project / "data") if each.what == "MLflow"]
    assert not finding.good
    assert "does not answer" in finding.found
    assert "unset MLFLOW_TRACKING_URI" in finding.advice


def test_status_of_an_empty_project(project):
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == 0, done.output
    assert "sample" in done.output
    assert "No runs yet" in done.output


def test_a_product_of_another_version_is_stale(project):
    data = project_data()
    write_json(data / "02_intermediate/mine/manifest.json", {"digest": "a" * 64, "rows": 3})
    assert look(data, "mine").stages["audit"] == "not yet"
    summary = {"version": "a" * 64, "total": {"hours": 1.5}}
    write_json(data / "03_primary/mine/audit_summary.json", summary)
    state = look(data, "mine")
    assert (state.stages["audit"], state.hours, state.clips) == ("up to date", 1.5, 3)
    write_json(data / "02_intermediate/mine/manifest.json", {"digest": "b" * 64, "rows": 3})
    assert look(data, "mine").stages["audit"] == "stale"


def test_the_data_folder_is_the_projects_wherever_one_stands(project, monkeypatch):
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    assert project_data() == project / "data"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A project with an ingested corpus of three clips, two of one file."""
    rows = [{"clip": "a-1", "path": "a.wav"}, {"clip": "b-1", "path": "b.wav"}]
    rows.append({"clip": "b-2", "path": "b.wav", "start_s": 2.0, "end_s": 4.0})
    paths = Paths(corpus="zoo", data=tmp_path / "data")
    write_json(paths.intermediate / "manifest.json", write_manifest(manifest(rows), paths.intermediate / "m").to_json())
    monkeypatch.chdir(tmp_path)
    return paths


def test_a_person_decides_by_clip_or_by_file(zoo):
    kept = CliRunner().invoke(app, ["keep", "zoo", "a.wav", "--why", "quiet,\n but clear", "--who", "ann"])
    dropped = CliRunner().invoke(app, ["drop", "zoo", "b-2", "--why", "a cough"])
    assert (kept.exit_code, dropped.exit_code) == (0, 0), kept.output + dropped.output
    assert "kedro run --pipeline audit --params corpus=zoo" in kept.output
    table = read(zoo.raw / "overrides.csv", ["a-1", "b-1", "b-2"])
    assert table[["clip", "decision", "why"]].to_numpy().tolist() == [
        ["a-1", "keep", "quiet, but clear"], ["b-2", "drop", "a cough"],
    ]  # fmt: skip
    assert table["who"].iloc[0] == "ann"
    assert len(table["date"].iloc[0]) == 10


def test_a_person_decides_wherever_one_stands(project, monkeypatch):
    """The manifest's handle is relative to the project, as a run leaves it."""
    paths = Paths(corpus="zoo")
    write_json(paths.intermediate / "manifest.json", write_manifest(manifest([{}]), paths.intermediate / "m").to_json())
    (project / "notebooks").mkdir()
    for decision in ("keep", "drop"):
        monkeypatch.chdir(project / "notebooks")
        done = CliRunner().invoke(app, [decision, "zoo", "0.wav", "--why", "a storm"])
        assert done.exit_code == 0, done.output
    decided = (project / "data/01_raw/zoo/overrides.csv").read_text()
    assert ("c0,keep" in decided, "c0,drop" in decided) == (True, True)
    assert not (project / "notebooks" / "data").exists()


def test_status_is_the_same_wherever_one_stands(project, monkeypatch):
    """Whether the fine-tuning is up to date follows from the encoder's folder, which is relative to the project."""
    paths, encoder = Paths(corpus="sample"), Path("data/06_models/sample/encoder/feed")
    encoder.mkdir(parents=True)
    (encoder / "model.safetensors").write_bytes(b"weights")
    paths.shards.mkdir(parents=True)
    table = pd.DataFrame({"clip": ["c0"]})
    table.to_parquet(paths.clips)
    inputs = {
        "clips": table_digest(pd.read_parquet(paths.clips)),
        "encoder": file_digest(encoder / "model.safetensors"),
    }
    plan = {"identity": "0123", "encoder_corpus": "sample", "inputs": inputs}
    write_json(paths.shards / "finetune_plan.json", plan)
    write_json(paths.models / "finetune_run.json", {"run": "0123"})
    write_json(paths.models / "encoder.json", {"folder": str(encoder)})
    (project / "notebooks").mkdir()
    for folder in (project, project / "notebooks"):
        monkeypatch.chdir(folder)
        done = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
        (line,) = [line.split() for line in done.output.splitlines() if line.startswith("sample ")]
        assert line[-1] == "finetune", (folder, done.output)
        assert "stale" not in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keep", "zoo", "c.wav", "--why", "x"], "'c.wav' is no clip and no file of corpus 'zoo'; did you mean"),
        (["keep", "zoo", "b.wav", "--why", "x"], "'b.wav' holds 2 clips; name one of them: b-1, b-2"),
        (["drop", "zoo", "a-1", "--why", " "], "why is empty"),
        (["drop", "zoo", "a-1", "--why", "=1+1"], "why begins like a formula"),
        (["drop", "zooo", "a-1", "--why", "x"], "corpus 'zooo' has no manifest yet"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_a_sentence_and_writes_nothing(zoo, arguments, said):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert not (zoo.raw / "overrides.csv").exists()


@pytest.mark.parametrize("runner", ["ParallelRunner", "ThreadRunner", "kedro.runner.ParallelRunner"])
def test_a_runner_of_several_steps_at_once_is_refused_in_a_sentence(runner, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    done = CliRunner().invoke(command.run, ["--runner", runner])
    assert done.exit_code == 1
    assert f"--runner {runner}: steps run one after the other here" in done.output
    command.check_runner({"runner": "SequentialRunner"})
