"""Files that vanish, grow or become something else between ingest and audit, or while they are read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from allears.corpus import probe
from allears.corpus.clips import ClipRef, Recording
from allears.corpus.opening import decoded_clips
from allears.errors import AudioError, PassingError
from allears.storage.digest import file_digest
from tests.faults import steps
from tests.faults.hostile import RATE, encoded, noise

NAMES = ("good", "other", "grown", "vanished", "pipe", "folder", "emptied")


def failures(root: Path) -> dict[str, str]:
    """Path → why it was not measured, after an audit of what is ingested."""
    made = steps.run(root / "corpus", "audit", audit={"measures": {"workers": 1}})
    table: pd.DataFrame = made.load("measures").merge(made.load("manifest").frame(), on="clip")
    return dict(table.dropna(subset="failed_reason")[["path", "failed_reason"]].itertuples(index=False, name=None))


def test_what_is_not_what_was_ingested_is_not_measured_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, name in enumerate(NAMES):
        soundfile.write(corpus / f"{name}.wav", noise(seed=number), RATE)
    kept = {path: path.read_bytes() for path in corpus.iterdir()}
    monkeypatch.chdir(tmp_path)
    steps.run(corpus, "ingest", ingest={"workers": 1})
    soundfile.write(corpus / "other.wav", noise(seed=50), RATE)  # of the same size
    with (corpus / "grown.wav").open("ab") as file:
        file.write(bytes(1000))
    for name in ("vanished", "pipe", "folder"):
        (corpus / f"{name}.wav").unlink()
    os.mkfifo(corpus / "pipe.wav")
    (corpus / "folder.wav").mkdir()
    (corpus / "emptied.wav").write_bytes(b"")
    expected = dict.fromkeys(("other", "grown", "pipe", "folder", "emptied"), "changed") | {"vanished": "unreadable"}
    assert failures(tmp_path) == {f"{name}.wav": reason for name, reason in expected.items()}
    (corpus / "folder.wav").rmdir()
    (corpus / "pipe.wav").unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    assert failures(tmp_path) == {}


def test_a_member_that_is_another_now_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encoded("FLAC"))
    ref = ClipRef("a", str(tmp_path / "x.tar"), file_digest(tmp_path / "a.flac"), None, 0.0, None, "a.flac", 0)
    ref = ref._replace(file_bytes=(tmp_path / "a.flac").stat().st_size)
    for data, changed in ((encoded("FLAC"), False), (encoded("FLAC", seed=3), True)):
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            info = tarfile.TarInfo("a.flac")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        [(_, found)] = decoded_clips([ref])
        assert isinstance(found, PassingError) == changed


def test_a_file_that_grows_between_two_of_its_pieces_gives_the_first_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    whole = ClipRef("a", str(path), file_digest(path), None, 0.0, 0.5, None, path.stat().st_size)
    clips = decoded_clips([whole, whole._replace(clip="b", start_s=0.5, end_s=None)])
    _, first = next(clips)
    with path.open("ab") as file:
        file.write(bytes(1000))
    _, second = next(clips)
    assert not isinstance(first, AudioError)
    assert isinstance(second, PassingError)


def test_a_recording_that_still_runs_has_no_digest_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)

    def digest_while_it_grows(file: Path) -> str:
        with file.open("ab") as growing:
            growing.write(bytes(1000))
        return file_digest(file)

    monkeypatch.setattr(probe, "file_digest", digest_while_it_grows)
    [(_, found)] = probe._probe([Recording(path)])
    assert isinstance(found, PassingError)
    assert found.reason == "changed"
