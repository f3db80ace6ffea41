"""`allears base add` and `list`, with the licence lists of a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from allears.checkpoints.bases import find_base
from allears.cli.app import app
from tests.project import make_project
from tests.public import save_wav2vec2


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, beside the folder of a public model."""
    save_wav2vec2(tmp_path / "public", heads=True)
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    return project


def base(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["base", *arguments])


def test_a_base_is_declared_from_a_relative_folder_and_listed(project: Path) -> None:
    assert "No base is declared yet" in base("list").output
    found = base("add", "acme", "../public", "--licence", "mit", "--origin", "ACME, revision 1, audiobooks")
    assert found.exit_code == 0, found.output
    for words in (
        "acme: waveform encoder",
        "MIT",
        "quantizer.codevectors",
        "unknown beyond its origin",
        "init_from=acme",
    ):
        assert words in found.output
    assert find_base(project / "data", "acme", "key").folder == project.parent / "public"
    listed = base("list").output
    assert "acme: waveform, MIT" in listed
    assert "ACME, revision 1, audiobooks" in listed


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("CC-BY-NC-4.0", "on the list of those that may not be used"),
        ("GPL-3.0-only", "in neither list of audit.licences"),
        ("my own", "is no SPDX licence"),
    ],
)
def test_a_licence_that_is_not_allowed_is_one_sentence(project: Path, licence: str, words: str) -> None:
    found = base("add", "acme", "../public", "--licence", licence, "--origin", "ACME")
    assert found.exit_code != 0
    assert words in " ".join(found.output.split())
    assert not (project / "data").exists()


def test_licence_and_origin_must_be_given(project: Path) -> None:
    for missing in (["--licence", "MIT"], ["--origin", "ACME"]):
        found = base("add", "acme", "../public", *missing)
        assert found.exit_code != 0
        assert "Missing option" in found.output
