"""Inputs that go wrong, through the real nodes: a bad clip goes to quarantine, a bad run ends in a sentence."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.corpus.manifest import Manifest
from allears.corpus.settings import remember
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.ingest import IngestParams
from allears.pipelines.ingest import nodes
from tests.unit.corpus import miniatures


def ingest(folder: Path, data: Path, **given: object) -> tuple[Manifest, pd.DataFrame]:
    paths = Paths(corpus="mine", data=data)
    settings = remember(paths, "mine", path=str(folder), licence="CC0-1.0")
    params = IngestParams.model_validate({"workers": 1, **given})
    sources = nodes.collect_sources(settings.model_dump(mode="json"), paths)
    listing = nodes.read_layouts(sources, paths, params)
    headers = nodes.probe_files(listing, paths, params)
    return nodes.build_manifest(listing, headers, paths, params)


def test_every_kind_of_broken_file_has_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for i in range(12):
        miniatures.tone(folder / f"good-{i}.wav", hz=200 + 20 * i)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("hello, this is a text\n" * 100)
    (folder / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20_000))
    soundfile.write(folder / "three.wav", np.zeros(3), 16_000)
    (folder / "no-samples.wav").write_bytes((folder / "good-0.wav").read_bytes()[:44])
    (folder / "cut.flac").write_bytes(b"")
    soundfile.write(folder / "cut.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    data = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(data[: len(data) // 2])
    (folder / "list.m3u").write_text("good-0.wav\n")
    manifest, quarantine = ingest(folder, tmp_path / "data", max_quarantine_share=0.5)
    assert manifest.rows + len(quarantine) == 18
    reasons = dict(zip(quarantine["path"], quarantine["reason"], strict=True))
    assert reasons == {
        "zero.wav": "zero_byte", "text.wav": "not_audio", "noise.mp3": "not_audio", "three.wav": "too_short",
        "no-samples.wav": "too_short",
    }  # fmt: skip
    cut = manifest.frame().set_index("path").loc["cut.flac"]
    assert cut["end_s"] == pytest.approx(1.0)  # what it declares: the audit decodes it and finds less
    assert quarantine["message"].str.len().min() > 20


def test_a_ten_hour_file_is_read_by_its_header_and_pointed_into(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    size = 36_000 * 8_000  # bytes of silence that take no room on the disk
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 8_000, 8_000, 1, 8, b"data", size
    )
    (folder / "long.wav").write_bytes(header)
    os.truncate(folder / "long.wav", len(header) + size)
    manifest, quarantine = ingest(folder, tmp_path / "data")
    assert (manifest.rows, len(quarantine)) == (1200, 0)
    table = manifest.frame()
    assert table["end_s"].max() == pytest.approx(36_000)
    assert (table["end_s"] - table["start_s"]).max() <= 30.0
    assert len(set(table["group"])) == 1


def test_a_file_that_may_not_be_read_is_quarantined(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for i in range(4):
        miniatures.tone(folder / f"{i}.wav")
    (folder / "link.wav").symlink_to(folder / "nowhere.wav")
    manifest, quarantine = ingest(folder, tmp_path / "data")
    assert manifest.rows == 4
    assert quarantine["reason"].to_list() == ["missing_file"]


def test_a_corpus_of_rubbish_stops_with_the_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"5 of 5 rows cannot be used \(5 × zero_byte\).*Nothing is left"):
        ingest(folder, tmp_path / "data")


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "metadata.csv").write_text("file_name,text\n")
    with pytest.raises(CorpusError, match="describe no recording"):
        ingest(folder, tmp_path / "data")


def test_an_odd_value_costs_its_row_and_licences_in_words_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    said = ["CC BY 4.0", "CC BY-NC 4.0", "cc-by-nc", "https://creativecommons.org/licenses/by/4.0/", "my own", "MIT"]
    lines = [{"file_name": f"{i}.wav", "text": f"text {i}", "license": each} for i, each in enumerate(said)]
    for i, line in enumerate(lines):
        miniatures.tone(folder / str(line["file_name"]), hz=200 + 20 * i)
    lines[5]["text"] = "\ud83d"
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    manifest, quarantine = ingest(folder, tmp_path / "data", max_quarantine_share=0.5)
    table = manifest.frame().set_index("path").sort_index()
    licences = ["CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC", "CC-BY-4.0", "unknown"]
    assert table["licence"].to_list() == [f"{each} AND CC0-1.0" for each in licences]
    own = [None if pd.isna(each) else json.loads(each)["licence"] for each in table["attributes"]]
    assert own == [said[0], said[1], None, said[3], said[4]]  # kept where it is written otherwise
    assert quarantine["reason"].to_list() == ["malformed_line"]
    assert "metadata.jsonl row 6" in quarantine["message"].iloc[0]


def test_a_source_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    folder = miniatures.plain(tmp_path / "mine")
    paths = Paths(corpus="mine", data=tmp_path / "data")
    settings = remember(paths, "mine", path=str(folder), licence="CC0-1.0")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="is gone: put it back"):
        nodes.collect_sources(settings.model_dump(mode="json"), paths)


def test_a_run_that_goes_on_after_a_bad_one_reads_nothing_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = miniatures.audiofolder(tmp_path / "mine")
    caplog.set_level("INFO")
    first, _ = ingest(folder, tmp_path / "data")
    assert "4 recordings: 4 read now" in caplog.text
    caplog.clear()
    second, _ = ingest(folder, tmp_path / "data")
    assert "4 recordings: 0 read now" in caplog.text
    assert second == first
