"""A second ingest of the same files looks at their names, sizes and times alone; whatever changed is seen."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.faults.steps import contents, run
from tests.unit.corpus import miniatures

HERE = Path("data/02_intermediate/mine")


def touched() -> tuple[int, ...]:
    """When the listing's and the manifest's makers last had to work: times of what only they write."""
    return tuple((HERE / name).stat().st_mtime_ns for name in ("receipt.json", "carved.parquet"))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus that was ingested, and the working directory where it was."""
    folder = miniatures.audiofolder(tmp_path / "corpus")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    ingest(folder)
    return folder


def ingest(folder: Path, **params: object) -> pd.DataFrame:
    table: pd.DataFrame = run(folder, "ingest", ingest={"workers": 1, **params}).load("manifest").frame()
    return table


def test_an_unchanged_corpus_is_recognised_and_stays_as_it_is(corpus: Path) -> None:
    before, when = contents(Path()), touched()
    (HERE / "probe.jsonl").unlink()  # who looked into the files would write it
    for _ in range(2):
        ingest(corpus, workers=2)
        assert touched() == when
        assert contents(Path()) == {name: data for name, data in before.items() if not name.endswith("probe.jsonl")}


CHANGES: dict[str, Callable[[Path], object]] = {
    "a recording": lambda root: miniatures.tone(root / "recordings" / "0.wav", seconds=0.7),
    "a line": lambda root: (root / "metadata.csv").write_text("file_name,digit\nrecordings/1.wav,7\n"),
    "a file less": lambda root: (root / "recordings" / "3.wav").unlink(),
    "moved": lambda root: (root / "recordings" / "3.wav").rename(root / "3.wav"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_corpus_gives_what_a_first_ingest_gives(
    corpus: Path, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CHANGES[change](corpus)
    found = ingest(corpus)
    (tmp_path / "fresh").mkdir()
    monkeypatch.chdir(tmp_path / "fresh")
    columns = ["clip", "path", "file_sha256", "file_bytes", "end_s", "label", "speaker"]
    pd.testing.assert_frame_equal(found[columns], ingest(corpus)[columns])


def test_other_settings_are_not_taken_for_the_same(corpus: Path) -> None:
    assert len(ingest(corpus)) == 4
    assert len(ingest(corpus, limit=3)) == 3
    assert len(ingest(corpus)) == 4
    assert ingest(corpus, splits={"dev": 0.4})["split"].notna().all()


@pytest.mark.parametrize("name", ["listing.parquet", "headers.parquet", "quarantine.parquet", "carved.parquet"])
def test_an_output_that_was_cut_short_is_made_again(corpus: Path, name: str) -> None:
    before = contents(Path())
    (HERE / name).write_bytes((HERE / name).read_bytes()[:40])
    if name == "carved.parquet":
        (HERE / name).unlink()
    ingest(corpus)
    assert contents(Path()) == before


def test_a_part_of_the_manifest_that_is_gone_is_an_end_of_recognition(corpus: Path) -> None:
    (part,) = (HERE / "manifest").glob("*.parquet")
    (HERE / "manifest.json").unlink()
    part.unlink()
    assert len(ingest(corpus)) == 4


def test_a_correction_is_not_overlooked(corpus: Path) -> None:
    clip = ingest(corpus)["clip"][0]
    Path("data/01_raw/mine/corrections.csv").write_text(f"clip,column,value,why\n{clip},label,nine,heard it\n")
    assert ingest(corpus)["label"].iloc[0] == "nine"


def test_recordings_elsewhere_are_looked_at_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniatures.kaldi(tmp_path / "corpus")
    (folder / "audio").rename(tmp_path / "audio")
    scp = folder / "wav.scp"
    scp.write_text(scp.read_text().replace("audio/", f"{tmp_path}/audio/"))
    monkeypatch.chdir(tmp_path)
    assert set(ingest(folder)["file_duration_s"]) == {0.5}
    miniatures.tone(tmp_path / "audio" / "u1.wav", seconds=0.9)
    assert max(ingest(folder)["file_duration_s"]) == 0.9


def test_a_failure_that_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniatures.plain(tmp_path / "corpus")
    miniatures.tone(folder / "more.wav")
    miniatures.tone(folder / "most.wav")
    (folder / "loop.wav").symlink_to("loop.wav")  # no fault of the data, for all that the system says
    monkeypatch.chdir(tmp_path)
    assert len(ingest(folder)) == 4
    assert list(pd.read_parquet(HERE / "quarantine.parquet")["reason"]) == ["unreadable"]
    assert not (HERE / "receipt.json").exists()
    (folder / "loop.wav").unlink()
    ingest(folder)
    assert (HERE / "receipt.json").exists()
