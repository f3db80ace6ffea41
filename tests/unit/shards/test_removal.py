"""Clips taken out of tars: the bytes that the writer would have written without them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.clips import ClipRef
from allears.corpus.deliveries import seconds_of
from allears.corpus.manifest import clip_refs
from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from allears.shards.removal import held, remove_clips
from allears.shards.writer import write_shards
from tests.unit.shards.recordings import make_recordings

HOW = {"sample_rate_hz": 16_000, "target_mb": 256.0, "min_shards": 3, "timeout_s": 60.0, "workers": 1}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return make_recordings(tmp_path_factory.mktemp("recordings"))


def write(table: pd.DataFrame, gone: set[str], folder: Path, whole: pd.DataFrame) -> tuple[ShardSet, int]:
    """As the pipeline writes the manifest that a withdrawal of `gone` leaves."""
    left = table[~table["clip"].isin(list(gone))].reset_index(drop=True)
    return write_shards(left, seconds_of(whole), set(), folder, "tiny", **HOW)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.suffix in (".tar", ".parquet")}


def refs(table: pd.DataFrame) -> dict[str, ClipRef]:
    return {ref.clip: ref for ref in clip_refs(table)}


def test_the_bytes_are_those_of_shards_written_without_them(table: pd.DataFrame, tmp_path: Path) -> None:
    clips = table["clip"].tolist()
    gone = {clips[0], clips[5], *clips[-5:]}  # the last tar loses all
    write(table, set(), tmp_path / "one", table)
    before = files(tmp_path / "one")
    keys, pcm = held(tmp_path / "one", gone, refs(table))
    assert len(pcm) == len(gone)
    made = remove_clips(tmp_path / "one", gone, keys)
    expected, _ = write(table, gone, tmp_path / "other", table)
    assert made is not None
    assert made.digest == expected.digest
    assert files(tmp_path / "one") == files(tmp_path / "other")
    after = files(tmp_path / "one")
    assert {name for name in after if name.endswith("tar") and after[name] != before[name]} <= set(keys)
    assert write(table, gone, tmp_path / "one", table) == (made, 0)  # the writer finds nothing to do
    with ShardReader(made) as reader:
        assert all(len(reader.read(place)) for place in range(made.clips))


def test_a_tar_made_of_other_audio_is_left_to_the_writer(table: pd.DataFrame, tmp_path: Path) -> None:
    write(table, set(), tmp_path, table)
    clip, other = table["clip"][0], table["clip"][1]
    changed = table.assign(file_sha256=table["file_sha256"].where(table["clip"] != other, "f" * 64))
    keys, _ = held(tmp_path, {clip}, refs(changed))
    assert list(keys.values()) == [""]


def test_what_cannot_be_read_is_deleted_and_everything_may_go(table: pd.DataFrame, tmp_path: Path) -> None:
    write(table, set(), tmp_path, table)
    tars = sorted(tmp_path.glob("*.tar"))
    tars[0].write_bytes(b"cut by a kill")
    (tmp_path / "parts" / f"{tars[1].stem}.parquet").unlink()
    keys, _ = held(tmp_path, set(table["clip"]), refs(table))
    assert set(keys) == {tar.name for tar in tars}
    assert keys[tars[1].name] == ""
    assert remove_clips(tmp_path, set(table["clip"]), keys) is None
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
