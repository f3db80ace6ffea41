"""Exports, read back by the toolkits that they are for; their audio is compared with our reader's, sample by sample."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from allears.corpus.layouts.read import read_rows
from allears.corpus.layouts.row import Row
from allears.errors import ConfigError, CorpusError, DamageError, StaleError
from allears.shards.clips import read_clips
from allears.shards.export import hf
from allears.shards.export.places import forget_exports, outside
from allears.shards.export.run import export
from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from tests.support import make_shards

LEFT_OUT = {3, 17}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, Path]:
    shard_set, clips = make_shards(tmp_path_factory.mktemp("shards") / "mine", clips=30, seconds=0.2, shards=3)
    table = pq.read_table(clips).to_pandas()
    table["keep"] = [place not in LEFT_OUT for place in range(len(table))]
    table.loc[5, "text"] = None
    table.to_parquet(clips, index=False)
    return shard_set, clips


@pytest.fixture(scope="module")
def expected(shards: tuple[ShardSet, Path]) -> dict[str, dict[str, tuple[np.ndarray, dict[str, object]]]]:
    """Split → clip → its samples and what is known of it, of the clips that are kept."""
    table = read_clips(shards[1])
    found: dict[str, dict[str, tuple[np.ndarray, dict[str, object]]]] = {"train": {}, "dev": {}, "test": {}}
    with ShardReader(shards[0]) as reader:
        for place, clip in enumerate(reader.index.clips):
            if place not in LEFT_OUT:
                row = table.row(place)
                found[str(row["split"])][clip] = reader.read(place), row
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def run(
    shards: tuple[ShardSet, Path], to: str, folder: Path, *, everything: bool = False, outside_of: Path | None = None
):
    return export(shards[0], shards[1], to, folder, everything=everything, outside_of=outside_of)


def test_hugging_face_reads_it(shards, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(hf, "ROWS", 4)
    monkeypatch.setattr(hf, "FILE_BYTES", 30_000)
    done = run(shards, "hf", tmp_path / "hf")
    assert (done["clips"], done["splits"]) == (28, {split: len(clips) for split, clips in expected.items()})
    assert len(list((tmp_path / "hf/data").glob("train-*.parquet"))) > 1
    for given in ({"path": "parquet", "data_dir": str(tmp_path / "hf")}, {"path": str(tmp_path / "hf")}):
        found = datasets.load_dataset(**given)
        assert set(found) == {"train", "validation", "test"}
        assert isinstance(found["train"].features["audio"], datasets.Audio)
        assert found["train"].features["audio"].sampling_rate == 16_000
        for split, clips in expected.items():
            rows = found["validation" if split == "dev" else split].cast_column("audio", datasets.Audio(decode=False))
            assert rows["clip"] == list(clips)
            for row, (audio_T, known) in zip(rows, clips.values(), strict=True):
                assert_same(row["audio"]["bytes"], audio_T)
                assert {name: row[name] for name in known if name in row} == {
                    name: value for name, value in known.items() if name in row
                }
                assert row["seconds"] == len(audio_T) / 16_000
                assert row["audio"]["path"] == f"{row['clip']}.flac"


def assert_same(flac: bytes, audio_T: np.ndarray) -> None:
    import io

    found_T, rate_hz = soundfile.read(io.BytesIO(flac), dtype="float32")
    assert rate_hz == 16_000
    np.testing.assert_array_equal(found_T, audio_T)


def test_lhotse_reads_it(shards, expected, tmp_path):
    run(shards, "lhotse", tmp_path / "lhotse")
    moved = tmp_path / "elsewhere"  # an export opens wherever it lies
    (tmp_path / "lhotse").rename(moved)
    for split, clips in expected.items():
        cuts = list(CutSet.from_shar(in_dir=moved / split))
        assert [cut.id for cut in cuts] == list(clips)
        for cut, (audio_T, known) in zip(cuts, clips.values(), strict=True):
            np.testing.assert_array_equal(cut.load_audio(), audio_T[None])
            assert (cut.num_samples, cut.sampling_rate) == (len(audio_T), 16_000)
            (spoken,) = cut.supervisions
            for name in ("text", "language", "speaker", "gender"):
                assert getattr(spoken, name) == known[name]
            assert cut.custom["split"] == split
            assert (cut.custom["label"], cut.custom["age"]) == (known["label"], known["age"])


def test_nemo_s_manifests_are_read_by_lhotse_as_nemo_does_and_by_ingest(shards, expected, tmp_path):
    """lhotse has no reader of its own for them: NeMo makes lhotse's cuts of the lines, as here."""
    folder = tmp_path / "nemo"
    run(shards, "nemo", folder)
    for split, clips in expected.items():
        lines = [json.loads(line) for line in (folder / f"{split}_manifest.json").read_text().splitlines()]
        assert [line["clip"] for line in lines] == list(clips)
        cuts = CutSet.from_cuts(as_nemo_does(folder, line) for line in lines)
        for cut, (audio_T, known) in zip(cuts, clips.values(), strict=True):
            np.testing.assert_array_equal(cut.load_audio(), audio_T[None])
            assert cut.duration == len(audio_T) / 16_000
            assert (cut.supervisions[0].text, cut.supervisions[0].language) == (known["text"], known["language"])
    rows = [row for row in read_rows(folder, "nemo", None) if isinstance(row, Row)]
    known = {clip: row for clips in expected.values() for clip, (_, row) in clips.items()}
    assert {Path(row.path).stem: (row.text, row.language, row.speaker, row.gender) for row in rows} == {
        clip: (row["text"], row["language"], row["speaker"], row["gender"]) for clip, row in known.items()
    }


def as_nemo_does(folder: Path, line: dict) -> MonoCut:
    """LazyNeMoIterator of nemo.collections.common.data.lhotse.nemo_adapters."""
    recording = Recording.from_file(folder / line["audio_filepath"])
    assert recording.duration == line["duration"]
    spoken = SupervisionSegment(
        id=recording.id, recording_id=recording.id, start=0, duration=recording.duration, text=line.get("text"),
        language=line.get("lang"),
    )  # fmt: skip
    return MonoCut(recording.id, 0, line["duration"], 0, supervisions=[spoken], recording=recording)


@pytest.mark.parametrize("to", ["hf", "lhotse", "nemo"])
def test_all_clips_when_asked_and_nothing_twice(shards, tmp_path, to):
    first = run(shards, to, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run(shards, to, tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert run(shards, to, tmp_path / "out", everything=True)["clips"] == 30  # ours: it takes the place of the other
    with pytest.raises(ConfigError, match="holds an export of other shards or clips"):
        run(shards, to, tmp_path / "out", outside_of=tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="holds files that are no export"):
        run(shards, to, tmp_path / "full", outside_of=tmp_path)


@pytest.mark.parametrize("to", ["hf", "lhotse", "nemo"])
def test_a_killed_export_goes_on(shards, tmp_path, to):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(shards, to, whole)
    script = (
        "import sys, os, json; from pathlib import Path; from allears.shards.handle import ShardSet\n"
        "from allears.shards.export.run import export; done = 0\n"
        "def counted(real):\n"
        "    def call(*given, **named):\n"
        "        global done; done += 1\n"
        "        if done == 5: os.kill(os.getpid(), 9)\n"
        "        return real(*given, **named)\n"
        "    return call\n"
        "os.replace = counted(os.replace)\n"
        "export(ShardSet.from_json(json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]),\n"
        "       everything=False, outside_of=Path(sys.argv[4]).parent)\n"
    )
    command = [sys.executable, "-c", script, json.dumps(shards[0].to_json()), str(shards[1]), to, str(killed)]
    assert subprocess.run(command, timeout=120, check=False, capture_output=True).returncode == -9
    assert not (killed / "receipt.json").exists()
    done = {path: path.stat().st_mtime_ns for path in killed.rglob("*") if path.is_file() and ".tmp" not in str(path)}
    time.sleep(0.01)
    run(shards, to, killed, outside_of=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in done if path.name != "export.json"}.items() <= done.items()
    assert contents(killed) == contents(whole)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "receipt.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_damage_and_other_versions_stop_it(shards, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(shards[0].folder, folder)
    copy = ShardSet.from_json(shards[0].to_json() | {"folder": str(folder)})
    table = pq.read_table(shards[1])
    pq.write_table(table.slice(1), tmp_path / "clips.parquet")
    with pytest.raises(StaleError, match="lists 29 clips, the shards hold 30"):
        export(copy, tmp_path / "clips.parquet", "hf", tmp_path / "out", everything=False)
    kept = table.to_pandas().assign(keep=False)
    kept.to_parquet(tmp_path / "clips.parquet", index=False)
    with pytest.raises(CorpusError, match="no clip is selected"):
        export(copy, tmp_path / "clips.parquet", "hf", tmp_path / "out", everything=False)
    os.truncate(folder / "synthetic-000001.tar", 3000)
    with pytest.raises(DamageError, match=r"synthetic-000001\.tar, clip clip-\d+, offset \d+"):
        export(copy, shards[1], "lhotse", tmp_path / "out", everything=False)
    (folder / "synthetic-000001.tar").unlink()
    with pytest.raises(DamageError, match=r"synthetic-000001\.tar is missing"):
        export(copy, shards[1], "nemo", tmp_path / "out", everything=False)
    assert not (tmp_path / "out" / "receipt.json").exists()


def test_exports_elsewhere_are_remembered_while_they_are_there(shards, tmp_path):
    corpus = tmp_path / "corpus"
    for name in ("one", "two"):
        run(shards, "nemo", tmp_path / name, outside_of=corpus)
    with pytest.raises(ConfigError):
        run(shards, "hf", tmp_path / "two", outside_of=corpus)
    run(shards, "hf", corpus / "exports" / "hf")
    shutil.rmtree(tmp_path / "one")
    assert outside(corpus) == {str(tmp_path / "two"): "nemo"}
    forget_exports(corpus)
    assert not (corpus / "exports").exists()


def test_our_shards_are_read_by_hugging_face_as_web_dataset(shards, expected):
    tars = [str(path) for path in sorted(shards[0].folder.glob("*.tar"))]
    text, types = (
        datasets.Value("string"),
        {"flac": datasets.Value("binary"), "json": {"label": datasets.Value("string")}},
    )
    types |= {"__key__": text, "__url__": text}  # given, as its own guess for .flac needs torchcodec even undecoded
    rows = datasets.load_dataset("webdataset", data_files=tars, split="train", features=datasets.Features(types))
    known = {clip: audio_T for clips in expected.values() for clip, (audio_T, _) in clips.items()}
    assert len(rows) == 30
    assert set(known) < set(rows["__key__"])
    for row in rows:
        assert set(row["json"]) == {"label"}
        if row["__key__"] in known:
            assert_same(row["flac"], known[row["__key__"]])
