"""`kedro run` does first what is needed, and what commands tell people to type is read as it was meant."""

import io
import re
import shlex

import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from allears.cli import status
from allears.cli.app import app
from allears.cli.command import run
from allears.cli.needs import Asked, products
from allears.cli.stages import look
from allears.corpus.settings import remember
from allears.errors import ConfigError, command, run_command
from allears.params.base import Paths
from allears.storage.files import write_json
from tests import pretraining
from tests.project import make_project, make_recordings
from tests.support import make_shards

YAML_NAMES = ["2024", "1e5", "0x10", "1_000", "true", "null", "no", "2024-01-01", "a-b_c"]
PATHS = ["/a b/c", "/a=b/c", "/2024", "/it's/here", "/a#b", "/a: b", "/[x]/{y}", "/$HOME/*", "s3://bucket/a b"]


def read(line: str) -> dict:
    """The parameters of a `kedro run` line, as a shell and the command take it."""
    words = shlex.split(line)
    assert words[:2] == ["kedro", "run"]
    return run.make_context("run", words[2:]).params["params"]


@pytest.mark.parametrize("name", YAML_NAMES)
def test_a_corpus_is_called_as_it_is_written(name):
    assert read(f"kedro run --params corpus={name},ingest.limit=3") == {"corpus": name, "ingest": {"limit": 3}}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_read_as_it_is_advised(path):
    line = run_command("audit", {"corpus": "mine", "ingest.path": path, "ingest.licence": "CC0-1.0"})
    assert read(line) == {"corpus": "mine", "ingest": {"path": path, "licence": "CC0-1.0"}}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("pretrain.extend=12e456789012", {"pretrain": {"extend": "12e456789012"}}),  # a run's name
        ("finetune.encoder=2024,finetune.workers=2", {"finetune": {"encoder": "2024", "workers": 2}}),
        ("ingest.label=1", {"ingest": {"label": "1"}}),
        ("ingest.label=null", {"ingest": {"label": None}}),
        ("ingest.path='2024'", {"ingest": {"path": "2024"}}),
        ("pretrain.corpora.2024=0.3", {"pretrain": {"corpora": {"2024": 0.3}}}),
        ("audit.keep_despite=[noisy]", {"audit": {"keep_despite": ["noisy"]}}),
        (
            "audit.confirm=[noisy, hum],corpus=[x],ingest.limit=3",
            {"audit": {"confirm": ["noisy", "hum"]}, "corpus": "[x]", "ingest": {"limit": 3}},
        ),
        (
            "audit.representation.crossed=[[age,label],[a,b]]",
            {"audit": {"representation": {"crossed": [["age", "label"], ["a", "b"]]}}},
        ),
        ("pretrain.corpora={a: 0.3,b: 0.2}", {"pretrain": {"corpora": {"a": 0.3, "b": 0.2}}}),
        ("ingest.path=[x,ingest.limit=3", {"ingest": {"path": "[x", "limit": 3}}),
        ("policies.standard.noisy.min=5", {"policies": {"standard": {"noisy": {"min": 5}}}}),
        ("nosuch.key=1", {"nosuch": {"key": 1}}),
        ("", {}),
    ],
)
def test_texts_are_read_as_written_and_all_else_as_kedro_does(typed, meant):
    assert run.make_context("run", ["--params", typed]).params["params"] == meant


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path / "project"))
    return tmp_path / "project"


def advised(output: str) -> list[str]:
    return re.findall(r"^ *((?:kedro run|allears) .*)$", output, re.MULTILINE)


@pytest.mark.parametrize("name", YAML_NAMES)
def test_what_add_says_to_type_names_the_corpus(project, name):
    make_recordings(project / "rec")
    done = CliRunner().invoke(app, ["add", name, "rec", "--licence", "CC0-1.0"])
    assert done.exit_code == 0, done.output
    (line,) = advised(done.output)
    assert read(line) == {"corpus": name}


@pytest.mark.parametrize("folder", ["a b", "a,b", "a,b=c", "it's", "a=b", "2024", "[x]"])
def test_what_is_said_of_a_missing_licence_can_be_typed(project, folder):
    where = make_recordings(project / folder)
    with pytest.raises(ConfigError) as raised:
        remember(Paths(corpus="mine", data=project / "data"), "mine", path=str(where))
    (line,) = advised(str(raised.value))
    if line.startswith("allears"):
        done = CliRunner().invoke(app, shlex.split(line.replace("LICENCE", "CC0-1.0"))[1:])
        assert done.exit_code == 0, done.output
    else:
        assert read(line) == {"corpus": "mine", "ingest": {"path": str(where), "licence": "LICENCE"}}


def test_commands_say_lines_that_can_be_typed_for_a_corpus_that_has_nothing_yet(project):
    make_recordings(project / "rec")
    assert CliRunner().invoke(app, ["add", "2024", "rec", "--licence", "CC0-1.0"]).exit_code == 0
    for arguments in (
        ["open", "2024"],
        ["shards", "ls", "2024"],
        ["keep", "2024", "x", "--why", "y"],
        ["diff", "2024"],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 1
        line = re.search(r"kedro run [^`;\n]*", done.output)
        assert line, done.output
        assert read(line[0])["corpus"] == "2024"
    done = CliRunner().invoke(app, ["open", "nobody"])
    assert read(advised(done.output)[0])["ingest"] == {"path": "FOLDER", "licence": "LICENCE"}
    assert "cannot be a name" in CliRunner().invoke(app, ["open", "a b"]).output
    assert command("allears", "shards", "copy", "a", "s3://b/c d") == "allears shards copy a 's3://b/c d'"


def made(paths: Paths, *stages: str) -> None:
    """Files of stages that are up to date, as far as `needs` looks."""
    write_json(paths.intermediate / "manifest.json", {"digest": "v1", "rows": 1})
    for stage in stages:
        for file in products(stage, paths):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}")
    if "audit" in stages:
        write_json(paths.primary / "audit_summary.json", {"version": "v1"})


@pytest.mark.parametrize(
    ("there", "asked", "given", "encoder", "first"),
    [
        ((), ["audit"], {}, None, []),  # begins with ingest, always
        ((), ["pretrain"], {}, None, []),
        ((), ["shard"], {}, None, ["audit"]),
        (("audit",), ["shard"], {}, None, []),
        (("audit",), ["shard"], {"audit": {"policy": "strict"}}, None, ["audit"]),
        (("audit",), ["document"], {"ingest": {"path": "x"}}, None, ["audit"]),
        (("audit",), ["document"], {}, None, []),
        ((), ["ingest", "audit", "shard"], {}, None, []),
        ((), ["finetune"], {}, None, ["audit", "shard", "pretrain"]),
        ((), ["finetune"], {}, "other", ["audit", "shard"]),
        ((), ["finetune", "evaluate"], {}, "mine", ["audit", "shard", "pretrain"]),
        (("audit", "pretrain"), ["finetune"], {}, None, ["shard"]),
        (("audit", "pretrain", "finetune"), ["evaluate"], {}, None, []),
        (("audit", "pretrain", "finetune"), ["report"], {}, None, ["evaluate"]),
        (("audit", "pretrain", "finetune", "evaluate"), ["report"], {}, None, []),
        (("audit", "pretrain", "finetune"), ["evaluate"], {"finetune": {}}, None, ["shard", "finetune"]),
        (("audit",), ["shard"], {"engine": {}}, None, []),
    ],
)
def test_what_is_needed_and_not_made_yet_comes_first(tmp_path, there, asked, given, encoder, first):
    paths = Paths(corpus="mine", data=tmp_path / "data")
    made(paths, *there)
    assert Asked(pipelines=tuple(asked), paths=paths, given=given, encoder=encoder).missing() == first


def test_tables_of_another_version_are_made_again_first_and_no_training_is(tmp_path):
    paths = Paths(corpus="mine", data=tmp_path / "data")
    made(paths, "audit", "pretrain", "finetune")
    write_json(paths.intermediate / "manifest.json", {"digest": "v2", "rows": 1})
    asked = Asked(pipelines=("finetune",), paths=paths, given={"corpus": "mine"})
    assert asked.missing() == ["audit", "shard"]
    assert Asked(pipelines=("evaluate",), paths=paths, given={}).missing() == []


def test_the_table_of_clips_is_made_again_when_another_audit_selects_others(tmp_path):
    paths = Paths(corpus="mine", data=tmp_path / "data")
    make_shards(paths.shards, clips=10)
    pretraining.audited(paths, "v1")
    write_json(paths.intermediate / "manifest.json", {"digest": "v1", "rows": 10})
    for file in (*products("audit", paths), *products("pretrain", paths)):
        if not file.exists():
            write_json(file, {})
    asked = Asked(pipelines=("finetune",), paths=paths, given={})
    assert asked.missing() == []
    selection = pd.read_parquet(paths.primary / "selection.parquet")
    selection.assign(keep=False).to_parquet(paths.primary / "selection.parquet")
    assert asked.missing() == ["shard"]
    assert look(paths.data, "mine").stages["shard"] == "stale"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--runner", "NoSuchRunner"], "--runner: there is no 'NoSuchRunner'; use one of SequentialRunner"),
        (["--runner", "no.such.Runner"], "--runner: there is no 'no.such.Runner'"),
        (
            ["--runner-params", "nosuch=1"],
            "SequentialRunner got an unexpected keyword argument 'nosuch'; it takes is_async",
        ),
        (["--params", "corpus"], "--params: expected KEY=VALUE, found 'corpus'"),
        (
            ["--params", "audit.confirm=[noisy,corpus=x"],
            "the value of 'audit.confirm' cannot be read: [noisy",
        ),
        (
            ["--params", "audit.confirm=noisy"],
            "audit.confirm: expected a list such as [noisy], found 'noisy'",
        ),
        (["--params", "audit.confirm="], "audit.confirm: expected a list (none: []), found None"),
        (["--load-versions", "manifest"], "Expected the form of 'load_versions'"),
        (["--pipeline", "adit"], "there is no pipeline 'adit'; did you mean 'audit'?"),
        (["--pipeline", "shard", "--params", "corpus=nobody"], "corpus 'nobody' is not known"),
        (["--pipeline", "pretrain", "--params", "pretrain.init_from=acme"], "'acme', which is no declared base"),
        (["--nodes", "judge_clips"], "Did you mean: ['audit.judge_clips']?"),
    ],
)
def test_options_of_kedro_end_in_sentences(project, arguments, said):
    done = CliRunner().invoke(run, arguments)
    assert done.exit_code != 0
    assert said in done.output + done.stderr, done.output + done.stderr
    assert "Traceback" not in done.output + done.stderr


def test_status_fits_80_columns_and_says_what_is_kept(project):
    long = "a" * 40
    for number, name in enumerate(["short", long, *(f"corpus-number-{i}" for i in range(30))]):
        paths = Paths(corpus=name, data=project / "data")
        write_json(paths.raw / "corpus.json", {"corpus": name})
        write_json(paths.intermediate / "manifest.json", {"digest": "d" * 64, "rows": 1_234_567 + number})
        summary = {"version": "d" * 64, "total": {"hours": 12_345.0}, "selected": {"clips": 1_200_000}}
        write_json(paths.primary / "audit_summary.json", summary)
    screen = Console(width=80, file=io.StringIO(), force_terminal=False)
    status.show(project / "data", screen)
    said = screen.file.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert "1,200,000 / 1,234,567" in said
    assert "12,345.00 h" in said
    assert said.count("a") >= 40
    assert len(said.splitlines()) < 40, "one line for most corpora"


def test_open_prints_the_page_and_opens_it_where_there_is_a_screen(project, monkeypatch, tmp_path):
    paths = Paths(corpus="sample", data=project / "data")
    done = CliRunner().invoke(app, ["open", "sample"])
    assert done.exit_code == 1
    assert read(advised(done.output)[0]) == {"corpus": "sample"}
    page = paths.reports / "audit.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    said = CliRunner().invoke(app, ["open", "sample"]).output
    assert said.startswith(f"{page}\n")
    assert "an earlier version" in said
    assert "No browser could be opened here" in said
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    assert "No browser" not in CliRunner().invoke(app, ["open", "sample"]).output
    assert seen.read_text() == page.as_uri()
    seen.unlink()
    assert str(page) in CliRunner().invoke(app, ["open", "sample", "--print"]).output
    assert not seen.exists()
