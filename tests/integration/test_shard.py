"""The shard pipeline through Kedro, and what is promised of its bytes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import webdataset
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from allears.audio.decode import decode, resample
from allears.corpus.manifest import Manifest
from allears.errors import CorpusError, StaleError
from allears.params.base import Paths
from allears.params.shard import ShardParams
from allears.pipelines.shard import nodes
from allears.pipelines.shard.pipeline import create_pipeline
from allears.shards.clips import read_clips
from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from allears.storage.digest import file_digest
from tests.unit.shards.recordings import as_handle, make_recordings, verdicts_of

ROOT = Path(__file__).parents[2]
SHARD = ShardParams(min_shards=3, workers=2)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return make_recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def manifest(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return as_handle(table, tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def made(table: pd.DataFrame, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder after the pipeline ran, with the catalog of conf."""
    folder = tmp_path_factory.mktemp("project")
    config = OmegaConfigLoader(
        conf_source=str(ROOT / "conf"), base_env="base", default_run_env="smoke", runtime_params={"corpus": "tiny"},
        config_patterns={"catalog": ["catalog_shard*"], "parameters": ["parameters_shard*"]},
        merge_strategy={"parameters": "soft"},
    )  # fmt: skip
    entries = dict(config["catalog"])
    for entry in entries.values():
        entry["filepath"] = str(folder / entry["filepath"])
    catalog = DataCatalog.from_config(entries)
    verdicts, selection = verdicts_of(table)
    given: dict[str, Any] = {
        "manifest": manifest, "verdicts": verdicts, "selection": selection, "audit_passed": {},
        "params:paths": Paths(corpus="tiny", data=folder / "data"),
        "params:shard": ShardParams.model_validate(config["parameters"]["shard"]),
    }  # fmt: skip
    for name, value in given.items():
        catalog[name] = value
    SequentialRunner().run(create_pipeline(), catalog)
    return folder / "data" / "05_model_input" / "tiny"


@pytest.fixture(scope="module")
def shard_set(made: Path) -> ShardSet:
    import json

    return ShardSet.from_json(json.loads((made / "shards.json").read_text()))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.glob("*.tar"))}


def write(manifest: Manifest, table: pd.DataFrame, folder: Path, shard: ShardParams = SHARD) -> ShardSet:
    made = nodes.write_shards(manifest, verdicts_of(table)[0], shard, Paths(corpus="tiny", data=folder))
    return ShardSet.from_json(made)


def test_every_clip_but_the_hard_one_is_in_the_shards(made: Path, table: pd.DataFrame, shard_set: ShardSet) -> None:
    clips = read_clips(made / "clips.parquet")
    assert clips.column("clip") == [clip for i, clip in enumerate(table["clip"]) if i != 1]
    assert clips.column("keep").count(False) == 1
    assert clips.column("weight")[1] == 0.0
    with ShardReader(shard_set) as reader:
        assert list(reader.index.clips) == clips.column("clip")
        assert clips.column("samples") == reader.index.samples_N.tolist()
        for row in table.drop(index=1).itertuples():
            channel = None if pd.isna(row.channel) else row.channel
            audio, rate = decode(Path(row.root) / row.path, row.start_s, row.end_s, channel)
            found = reader.read(reader.index.position[row.clip])
            np.testing.assert_allclose(found, resample(audio, rate, 16_000), atol=2**-16 + 1e-7)
            np.testing.assert_array_equal(reader.read(reader.index.position[row.clip], 700, 900), found[700:1600])


def test_webdataset_reads_the_same(shard_set: ShardSet) -> None:
    tars = [str(path) for path in sorted(shard_set.folder.glob("*.tar"))]
    assert len(tars) >= 2
    found = list(webdataset.WebDataset(tars, shardshuffle=False))
    with ShardReader(shard_set) as reader:
        assert [sample["__key__"] for sample in found] == list(reader.index.clips)
        for place, sample in enumerate(found):
            audio, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")
            assert rate == 16_000
            np.testing.assert_array_equal(audio, reader.read(place))
    assert b'"text": "text of f000"' in found[0]["json"]


def test_bytes_depend_on_neither_workers_nor_history(manifest: Manifest, table: pd.DataFrame, tmp_path: Path) -> None:
    first = write(manifest, table, tmp_path / "one", ShardParams(min_shards=3, workers=1))
    second = write(manifest, table, tmp_path / "two")
    assert digests(first.folder) == digests(second.folder)
    assert first.digest == second.digest

    written = {path: path.stat().st_mtime_ns for path in first.folder.glob("*.tar")}
    assert write(manifest, table, tmp_path / "one") == first
    corrected = as_handle(table.assign(text="another transcript"), tmp_path / "corrected")
    assert write(corrected, table, tmp_path / "one") == first
    lost = min(written)
    lost.unlink()
    assert write(manifest, table, tmp_path / "one") == first
    now = {path: path.stat().st_mtime_ns for path in first.folder.glob("*.tar")}
    assert {path for path in written if now[path] != written[path]} == {lost}
    assert digests(first.folder) == digests(second.folder)


def test_a_clip_that_no_longer_decodes_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    gone = table.copy()
    gone.loc[5, "path"] = "gone.wav"
    with pytest.raises(CorpusError, match=rf"clip {gone.loc[5, 'clip']} of .*gone\.wav cannot be decoded"):
        write(as_handle(gone, tmp_path / "manifest"), gone, tmp_path / "data")


def test_nothing_left_and_verdicts_of_another_corpus_are_sentences(
    manifest: Manifest, table: pd.DataFrame, tmp_path: Path
) -> None:
    paths = Paths(corpus="tiny", data=tmp_path)
    verdicts = verdicts_of(table)[0]
    with pytest.raises(CorpusError, match="all have a hard verdict"):
        nodes.write_shards(manifest, verdicts.assign(verdict="hard"), SHARD, paths)
    with pytest.raises(StaleError, match="run the audit pipeline"):
        nodes.write_shards(manifest, verdicts.iloc[1:], SHARD, paths)
