"""Merged tars: what the writer makes of them, and what deliveries, withdrawals and kills do to them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.clips import ClipRef
from allears.corpus.deliveries import Before, join, seconds_of
from allears.corpus.manifest import clip_refs
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.shards.packing import Packing, merged, read_packing, write_packing
from allears.shards.reader import ShardReader
from allears.shards.removal import held, remove_clips
from allears.shards.sidecar import Sidecar, is_labelled, move_labels, write_labels
from allears.shards.writer import deal_deliveries, write_shards
from tests.long import LONG
from tests.unit.shards.recordings import make_recordings

DEAL = {"sample_rate_hz": 16_000, "target_mb": 256.0, "min_shards": 3}
HOW = {**DEAL, "timeout_s": 60.0, "workers": 1}
WHOLE, SOME = 1e9, 80_000  # bytes: all in one tar, or some in each


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A manifest of four deliveries."""
    listed = make_recordings(tmp_path_factory.mktemp("recordings"), files=16)
    return grow(listed, (6, 10, 13))


def grow(listed: pd.DataFrame, ends: tuple[int, ...]) -> pd.DataFrame:
    plain = listed.drop(columns=["delivery", "place_s", "listed_as"])
    table = join(None, plain.iloc[: ends[0]])
    for end in (*ends[1:], len(listed)):
        table = join(Before(table, seconds_of(table)), plain.iloc[:end])
    return table


def write(table: pd.DataFrame, folder: Path, whole: pd.DataFrame | None = None) -> tuple[ShardSet, int]:
    return write_shards(table, seconds_of(table if whole is None else whole), set(), folder, "tiny", **HOW)


def pack(table: pd.DataFrame, folder: Path, most: float = WHOLE) -> None:
    """What `allears shards repack` decides, before the writer moves anything."""
    shard_set = ShardSet(folder, digest_of(folder), 0, 0.0, 16_000)
    index = read_index(shard_set)
    sizes = [int(index.length_N[index.places_of(number)].sum()) for number in range(len(index.shards))]
    packing = read_packing(folder, deal_deliveries(seconds_of(table), **DEAL))
    write_packing(folder, merged(packing, [int(name[5:11]) for name in index.shards], sizes, most))


def digest_of(folder: Path) -> str:
    return str(json.loads((folder / "receipt.json").read_text())["notes"]["digest"])


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.suffix in (".tar", ".parquet", ".jsonl", ".tmp"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def tars(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.glob("*.tar"))]


def audio(shard_set: ShardSet) -> list[tuple[str, bytes]]:
    with ShardReader(shard_set) as reader:
        return [(clip, reader.flac(place)) for place, clip in enumerate(reader.index.clips)]


def refs(table: pd.DataFrame) -> dict[str, ClipRef]:
    return {ref.clip: ref for ref in clip_refs(table)}


@pytest.fixture(scope="module")
def written(deliveries: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of all deliveries, as they are dealt."""
    folder = tmp_path_factory.mktemp("written") / "shards"
    write(deliveries, folder)
    return folder


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def without_recordings(table: pd.DataFrame) -> pd.DataFrame:
    """The same clips, of recordings that are not there: whoever decodes one fails."""
    return table.assign(root="/nowhere")


def test_tars_are_merged_from_their_bytes_and_are_those_that_the_writer_would_write(
    deliveries: pd.DataFrame, written: Path, tmp_path: Path
) -> None:
    shards = copied(written, tmp_path / "shards")
    before = audio(ShardSet(shards, digest_of(shards), 0, 0.0, 16_000))
    names = tars(shards)
    assert len(names) >= 6
    pack(deliveries, shards, SOME)
    made, moved = write(without_recordings(deliveries), shards)
    assert 2 <= len(tars(shards)) < len(names)
    assert set(tars(shards)) < set(names)
    assert moved <= len(tars(shards))
    assert audio(made) == before  # the same clips in the same order
    assert made.digest != digest_of(written)
    assert write(without_recordings(deliveries), shards) == (made, 0)
    (tmp_path / "anew").mkdir()
    shutil.copy(shards / "packing.json", tmp_path / "anew")
    assert write(deliveries, tmp_path / "anew")[0].digest == made.digest
    assert files(tmp_path / "anew") == files(shards)
    pack(deliveries, shards, SOME)
    assert write(without_recordings(deliveries), shards) == (made, 0)  # merged again: nothing to do


def test_a_delivery_only_adds_tars(deliveries: pd.DataFrame, tmp_path: Path) -> None:
    first = deliveries[deliveries["delivery"] < 3]
    write(first, tmp_path)
    pack(first, tmp_path)
    write(first, tmp_path)
    assert len(tars(tmp_path)) == 1
    before = files(tmp_path)
    made, count = write(deliveries, tmp_path)
    after = files(tmp_path)
    assert {name for name in before if after[name] != before[name]} == {"index.parquet"}
    assert count == len(tars(tmp_path)) - 1 > 0
    assert sorted(read_index(made).clips) == sorted(deliveries["clip"])
    heard = audio(made)
    pack(deliveries, tmp_path)
    again, _ = write(without_recordings(deliveries), tmp_path)
    assert len(tars(tmp_path)) == 1
    assert audio(again) == heard


def test_a_withdrawal_rewrites_the_merged_tar_alone_as_the_writer_would(
    deliveries: pd.DataFrame, written: Path, tmp_path: Path
) -> None:
    shards = copied(written, tmp_path / "shards")
    pack(deliveries, shards, SOME)
    write(deliveries, shards)
    before = files(shards)
    first = read_index(ShardSet(shards, digest_of(shards), 0, 0.0, 16_000))
    gone = {first.clips[place] for place in first.places_of(0)[:2].tolist()}  # all of the first tar that was dealt
    left = deliveries[~deliveries["clip"].isin(list(gone))].reset_index(drop=True)
    keys, _ = held(shards, gone, refs(deliveries))
    assert set(keys) == {first.shards[0]}
    made = remove_clips(shards, gone, keys)
    assert made is not None
    after = files(shards)
    name = Path(first.shards[0]).stem
    assert {one for one in before if after[one] != before[one]} == {
        f"{name}.tar", f"parts/{name}.parquet", "index.parquet",
    }  # fmt: skip
    assert write(without_recordings(left), shards, deliveries) == (made, 0)
    (tmp_path / "anew").mkdir()
    shutil.copy(shards / "packing.json", tmp_path / "anew")
    write(left, tmp_path / "anew", deliveries)
    assert files(tmp_path / "anew") == after


def test_other_parameters_deal_anew(deliveries: pd.DataFrame, written: Path, tmp_path: Path) -> None:
    shards = copied(written, tmp_path / "shards")
    pack(deliveries, shards)
    write(deliveries, shards)
    assert len(tars(shards)) == 1
    made, _ = write_shards(deliveries, seconds_of(deliveries), set(), shards, "tiny", **{**HOW, "min_shards": 2})
    expected, _ = write_shards(
        deliveries, seconds_of(deliveries), set(), tmp_path / "other", "tiny", **{**HOW, "min_shards": 2}
    )
    assert len(tars(shards)) > 2
    assert made.digest == expected.digest


def test_a_damaged_source_is_decoded_again(deliveries: pd.DataFrame, written: Path, tmp_path: Path) -> None:
    shards, whole = copied(written, tmp_path / "shards"), copied(written, tmp_path / "whole")
    for folder in (whole, shards):
        pack(deliveries, folder)
    index = read_index(ShardSet(shards, digest_of(shards), 0, 0.0, 16_000))
    flip(shards / index.shards[1], int(index.offset_N[index.places_of(1)[0]]) + 40)
    assert write(deliveries, shards)[0].digest == write(deliveries, whole)[0].digest
    assert files(shards) == files(whole)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def killed_at(change: int, table: pd.DataFrame, folder: Path) -> int:
    """Repack in a process that kills itself before it replaces or removes a file the n-th time; its exit code."""
    child = get_context("fork").Process(target=_dying, args=(change, table, folder))
    child.start()
    child.join(120)
    assert child.exitcode is not None
    return child.exitcode


def _dying(change: int, table: pd.DataFrame, folder: Path) -> None:
    done = 0

    def counted(real):
        def call(*given, **named):
            nonlocal done
            done += 1
            if done == change:
                os.kill(os.getpid(), 9)
            return real(*given, **named)

        return call

    os.replace, os.unlink = counted(os.replace), counted(os.unlink)
    pack(table, folder, SOME)
    write(table, folder)


def test_killed_at_any_change_the_next_run_ends_with_the_same_bytes(
    deliveries: pd.DataFrame, written: Path, tmp_path: Path
) -> None:
    whole = copied(written, tmp_path / "whole")
    pack(deliveries, whole, SOME)
    write(deliveries, whole)
    table = without_recordings(deliveries)
    for change in range(1, 100) if LONG else (2, 9):
        shards = copied(written, tmp_path / f"killed-{change}")
        if killed_at(change, table, shards) == 0:
            assert change > 10
            break
        if not (shards / "packing.json").exists():  # killed before it was decided
            pack(deliveries, shards, SOME)
        made, _ = write(table, shards)
        assert made.digest == digest_of(whole)
        assert files(shards) == files(whole), f"after change {change}"
    else:
        assert not LONG


def test_killed_between_a_tar_and_its_part(deliveries: pd.DataFrame, written: Path, tmp_path: Path) -> None:
    """In a worker: the merged tar has its place, its part is still the old one, its sources are there."""
    shards, whole = copied(written, tmp_path / "shards"), copied(written, tmp_path / "whole")
    for folder in (whole, shards):
        pack(deliveries, folder, SOME)
    write(deliveries, whole)
    first = tars(whole)[0]
    shutil.copy(whole / first, shards / first)
    (shards / "receipt.json").unlink()
    made, _ = write(without_recordings(deliveries), shards)
    assert made.digest == digest_of(whole)
    assert files(shards) == files(whole)


def test_labels_go_with_their_clips(deliveries: pd.DataFrame, written: Path, tmp_path: Path) -> None:
    shards, folder = copied(written, tmp_path / "shards"), tmp_path / "units"
    index = read_index(ShardSet(shards, digest_of(shards), 0, 0.0, 16_000))
    labels = {clip: np.arange(place + 2, dtype=np.int32) * place for place, clip in enumerate(index.clips) if place % 4}
    for number, shard in enumerate(index.shards):
        mine = [index.clips[place] for place in index.places_of(number)]
        write_labels(folder, "model", shard, {clip: labels[clip] for clip in mine if clip in labels}, index)
    before = files(folder)
    (folder / "labelled.jsonl").write_text("".join(f'{{"key": "{shard}", "result": []}}\n' for shard in index.shards))
    pack(deliveries, shards, SOME)
    made, _ = write(deliveries, shards)
    now = read_index(made)
    assert now.audio_digest == index.audio_digest
    copied(folder, tmp_path / "half")
    move_labels(folder, made)
    assert {path.name.split(".")[0] + ".tar" for path in folder.glob("*.arrow")} == set(now.shards)
    sidecar = Sidecar(folder, "model", now)
    for number in range(len(now.shards)):
        tar = now.of_tar(number)
        assert is_labelled(folder, "model", tar, np.array([clip in labels for clip in tar.clips]))
    for clip, expected in labels.items():
        np.testing.assert_array_equal(sidecar.get(clip), expected)
    alone = {name for name in now.shards if name not in {f"tiny-{first:06d}.tar" for first, _ in together(shards)}}
    assert {line.split('"')[3] for line in (folder / "labelled.jsonl").read_text().splitlines()} == alone
    for name in before:  # one that was killed before it removed the old files
        shutil.copy(tmp_path / "half" / name, folder / name) if not (folder / name).exists() else None
    move_labels(folder, made)
    assert {path.name.split(".")[0] + ".tar" for path in folder.glob("*.arrow")} == set(now.shards)
    np.testing.assert_array_equal(Sidecar(folder, "model", now).get(list(labels)[-1]), list(labels.values())[-1])


def together(folder: Path) -> list[tuple[int, int]]:
    return [(first, last) for first, last in json.loads((folder / "packing.json").read_text())["together"]]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 400), st.data())
def test_no_two_neighbours_fit_into_one_and_no_clip_changes_its_order(sizes, most, data):
    numbers = sorted(data.draw(st.sets(st.integers(0, 99), min_size=len(sizes), max_size=len(sizes))))
    packing = merged(Packing(((1.0, 100.0),)), numbers, sizes, most)
    packed = packing.number(np.array(numbers)).tolist()
    assert packed == sorted(packed)
    held_by = {first: sum(size for size, one in zip(sizes, packed, strict=True) if one == first) for first in packed}
    tars_now = sorted(held_by)
    assert set(tars_now) <= set(numbers)
    assert all(held_by[one] <= most or one not in dict(packing.together) for one in tars_now)
    assert all(held_by[one] + held_by[two] > most for one, two in itertools.pairwise(tars_now))
    assert merged(packing, tars_now, [held_by[one] for one in tars_now], most) == packing
    everywhere = packing.number(np.arange(100))
    assert (np.diff(everywhere) >= 0).all()
