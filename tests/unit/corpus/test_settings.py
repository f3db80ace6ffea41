from pathlib import Path

import pytest

from allears.corpus.settings import known_corpora, recall, remember
from allears.errors import ConfigError, CorpusError, StorageError
from allears.params.base import Paths
from tests.unit.corpus import miniatures


@pytest.fixture
def data(tmp_path: Path) -> Path:
    miniatures.plain(tmp_path / "mine")
    miniatures.plain(tmp_path / "more")
    return tmp_path / "data"


def test_what_was_given_once_is_remembered(data: Path, tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=data)
    folder = str(miniatures.audiofolder(tmp_path / "digits"))
    first = remember(paths, "mine", path=folder, licence="cc-by-4.0", label="digit")
    assert first.sources[0].licence == "CC-BY-4.0"
    assert remember(paths, "mine") == recall(paths, "mine") == first
    written = (paths.raw / "corpus.json").stat().st_mtime_ns
    assert remember(paths, "mine", path=folder + "/", layout="audiofolder").sources[0].layout == "audiofolder"
    assert (paths.raw / "corpus.json").stat().st_mtime_ns > written
    assert recall(paths, "mine").label == "digit"


def test_a_label_that_is_no_column_is_not_remembered(data: Path, tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=data)
    folder = str(miniatures.audiofolder(tmp_path / "digits"))
    with pytest.raises(CorpusError, match=r"'digits'.*did you mean 'digit'"):
        remember(paths, "mine", path=folder, licence="CC0-1.0", label="digits")
    assert not paths.raw.exists()
    known = remember(paths, "mine", path=folder, licence="CC0-1.0", label="digit")
    with pytest.raises(CorpusError, match="a plain folder has none"):
        remember(paths, "mine", path=str(tmp_path / "more"), licence="CC0-1.0")
    with pytest.raises(CorpusError, match="'mood'"):
        remember(paths, "mine", label="mood")
    assert recall(paths, "mine") == known


def test_a_second_path_is_a_second_source(data: Path, tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=data)
    remember(paths, "mine", path=str(tmp_path / "mine"), licence="CC0-1.0")
    both = remember(paths, "mine", path=str(tmp_path / "more"), licence="LicenseRef-ours")
    assert [(source.name, source.licence) for source in both.sources] == [
        ("mine", "CC0-1.0"),
        ("more", "LicenseRef-ours"),
    ]
    with pytest.raises(ConfigError, match=r"2 sources .* say which one"):
        remember(paths, "mine", layout="plain")
    miniatures.plain(tmp_path / "other" / "mine")
    third = remember(paths, "mine", path=str(tmp_path / "other" / "mine"), licence="CC0-1.0")
    assert third.sources[2].name == "mine-2"


def test_a_missing_licence_gets_the_line_to_type(data: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "mine")
    with pytest.raises(ConfigError) as caught:
        remember(Paths(corpus="mine", data=data), "mine", path=path)
    assert f"--params corpus=mine,ingest.path={path},ingest.licence=LICENCE" in str(caught.value)
    assert not (data / "01_raw" / "mine").exists()


def test_an_odd_licence_gets_a_name_it_could_have(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'my own terms' is no SPDX licence .* LicenseRef-my-own-terms"):
        remember(Paths(corpus="m", data=data), "m", path=str(tmp_path / "mine"), licence="my own terms")


def test_a_path_needs_a_corpus(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.path was given without a corpus"):
        remember(Paths(corpus="sample", data=data), "sample", path=str(tmp_path / "mine"), licence="CC0-1.0")


def test_an_unknown_corpus_never_becomes_the_sample(data: Path, tmp_path: Path) -> None:
    remember(Paths(corpus="mine", data=data), "mine", path=str(tmp_path / "mine"), licence="CC0-1.0")
    for call in (remember, recall):
        with pytest.raises(
            CorpusError, match=r"corpus 'mien' is not known; did you mean 'mine'\? \(known are sample, mine"
        ):
            call(Paths(corpus="mien", data=data), "mien")
    assert known_corpora(data) == ["mine"]


def test_the_sample_is_remembered_too(data: Path) -> None:
    paths = Paths(corpus="sample", data=data)
    settings = remember(paths, "sample")
    assert settings == recall(paths, "sample")
    assert (settings.sources[0].layout, settings.label) == ("audiofolder", "label")
    assert known_corpora(data) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [("mine/a.wav", "is a file"), ("mien", "does not exist; did you mean 'mine'"), ("empty", "is empty")],
)
def test_folders_that_cannot_be_a_source(data: Path, tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=message):
        remember(Paths(corpus="m", data=data), "m", path=str(tmp_path / path), licence="CC0-1.0")


def test_a_name_that_cannot_be_a_folder(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be a name"):
        remember(Paths(corpus="a b", data=data), "a b", path=str(tmp_path / "mine"), licence="CC0-1.0")


def test_a_spoilt_memory_says_which_file(data: Path) -> None:
    paths = Paths(corpus="mine", data=data)
    paths.raw.mkdir(parents=True)
    (paths.raw / "corpus.json").write_text('{"corpus": "mine", "sources": []}')
    with pytest.raises(StorageError, match=r"corpus\.json is not what allears wrote"):
        recall(paths, "mine")
