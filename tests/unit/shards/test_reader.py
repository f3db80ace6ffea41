import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from allears.errors import ConfigError, DamageError, StaleError, StorageError
from allears.shards.batches import AHEAD, Cursor, HostBatch, iterate, iterate_as
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.shards.plan import PlanSpec, data_digest
from allears.shards.reader import ShardReader
from tests.support import make_shards


@pytest.fixture
def shard_set(tmp_path: Path) -> ShardSet:
    return make_shards(tmp_path, clips=20, seconds=0.4)[0]


def spec_of(shard_set: ShardSet, **given: int) -> PlanSpec:
    weights = np.ones(shard_set.clips)
    values = {"seed": 1, "capacity": 20_000, "crop_length": 5_000, "group": 4, "pool": 8} | given
    return PlanSpec(digest=data_digest(shard_set.digest, weights), **values)


def test_a_crop_is_that_part_of_the_whole(shard_set: ShardSet):
    with ShardReader(shard_set) as reader:
        whole = reader.read(3)
        assert whole.dtype == np.float32
        assert len(whole) == reader.index.samples_N[3]
        np.testing.assert_array_equal(reader.read(3, 1001, 777), whole[1001:1778])


def test_what_is_not_indexed_is_named(shard_set: ShardSet):
    index = read_index(shard_set)
    tar = shard_set.folder / index.shards[0]
    place, offset = 2, int(index.offset_N[2])
    content = bytearray(tar.read_bytes())
    content[offset + int(index.length_N[2]) // 2] ^= 1
    tar.write_bytes(content)
    with ShardReader(shard_set) as reader, pytest.raises(DamageError, match=rf"{index.clips[place]}, offset {offset}"):
        reader.read(place)
    os.truncate(tar, offset + 10)
    with ShardReader(shard_set) as reader:
        with pytest.raises(DamageError, match=rf"{tar}.*ends after 10 of"):
            reader.read(place)
        reader.read(0)
    tar.unlink()
    tar.symlink_to("/proc/self/mem")  # where nothing lies at these addresses: as a bad sector
    with ShardReader(shard_set) as reader, pytest.raises(DamageError, match=r"clip-0000.*the disk cannot read them"):
        reader.read(0)
    tar.unlink()
    with ShardReader(shard_set) as reader, pytest.raises(DamageError, match=r"missing.*clip-0000"):
        reader.read(0)


def test_damage_that_comes_later_is_found_too(shard_set: ShardSet):
    with ShardReader(shard_set) as reader:
        place = max(range(20), key=lambda place: int(reader.index.length_N[place]))
        reader.read(place)
        tar = shard_set.folder / reader.index.shards[int(reader.index.shard_N[place])]
        content = bytearray(tar.read_bytes())
        content[int(reader.index.offset_N[place]) + int(reader.index.length_N[place]) // 2] ^= 1
        tar.write_bytes(content)
        for start in (0, 1000):  # a part of it may be decoded without a word
            with pytest.raises(DamageError, match="sha256 is another"):
                reader.read(place, start, 500)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice")
def test_the_system_is_told_of_every_byte_that_is_read_next(shard_set: ShardSet, monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[int, int]] = []
    advise = os.posix_fadvise

    def note(file: int, start: int, length: int, advice: int) -> None:
        advise(file, start, length, advice)
        told.append((start, start + length))

    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr("allears.shards.local.ADVICE_BYTES", 5000)
    index = read_index(shard_set)
    (shard_set.folder / index.shards[0]).unlink()
    left = [place for place in range(20) if index.shard_N[place]]
    with ShardReader(shard_set) as reader:
        reader.expect(range(20))
    assert left
    assert {end - start for start, end in told} >= {5000}
    for place in left:
        start = int(index.offset_N[place])
        wanted = set(range(start, start + int(index.length_N[place])))
        assert wanted <= {byte for first, end in told for byte in range(first, end)}


def test_an_index_of_another_version_is_refused(shard_set: ShardSet):
    other = ShardSet.from_json(shard_set.to_json() | {"digest": "0" * 64})
    with pytest.raises(StaleError, match="rewritten since"):
        ShardReader(other)
    (shard_set.folder / "index.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(StorageError, match="cannot be read"):
        ShardReader(shard_set)


def test_handle_survives_json(shard_set: ShardSet):
    assert ShardSet.from_json(shard_set.to_json()) == shard_set


def test_batches_hold_what_the_reader_reads(shard_set: ShardSet):
    spec, weights = spec_of(shard_set), np.ones(shard_set.clips)
    with ShardReader(shard_set) as reader:
        heard = []
        for batch in iterate(reader, spec, weights, begin=Cursor(), last_step=100):
            if batch.epoch:
                break
            assert batch.audio_BT.shape == (len(batch.keys), max(batch.lengths_B, default=0))
            for row, (place, start, samples) in enumerate(
                zip(batch.place_B, batch.starts_B, batch.lengths_B, strict=True)
            ):
                np.testing.assert_array_equal(batch.audio_BT[row, :samples], reader.read(place, start, samples))
                assert not batch.audio_BT[row, samples:].any()
            heard += batch.keys
        assert sorted(heard) == sorted(reader.index.clips)


def test_resumed_and_shared_batches_are_those_of_one_run(shard_set: ShardSet):
    spec, weights = spec_of(shard_set), np.ones(shard_set.clips)
    with ShardReader(shard_set) as reader:
        whole = list(iterate(reader, spec, weights, begin=Cursor(), last_step=7))
        assert [batch.step for batch in whole] == [step for step in range(7) for _ in range(4)]
        after = Cursor.resume(whole[4 * 3 - 1].after.state(spec, {}), spec, {})
        assert after.step == 3
        assert_same(whole[12:], iterate(reader, spec, weights, begin=after, last_step=7))
        ranks = [list(iterate(reader, spec, weights, begin=Cursor(), last_step=7, rank=r, world=2)) for r in (0, 1)]
        assert_same(whole, itertools.chain.from_iterable(zip(*ranks, strict=True)))
        with pytest.raises(ConfigError, match="use one of 1, 2, 4"):
            next(iterate(reader, spec, weights, begin=Cursor(), last_step=1, world=3))


def test_a_damaged_clip_stops_the_batches_with_its_name(shard_set: ShardSet):
    (shard_set.folder / "synthetic-000001.tar").unlink()
    with ShardReader(shard_set) as reader, pytest.raises(DamageError, match=r"synthetic-000001\.tar is missing"):
        list(iterate(reader, spec_of(shard_set), np.ones(shard_set.clips), begin=Cursor(), last_step=9))


@pytest.mark.parametrize("threads", [1, 3])
def test_skipped_clips_are_named_and_all_else_is_as_planned(shard_set: ShardSet, threads: int):
    spec, weights = spec_of(shard_set), np.full(shard_set.clips, 1.5)
    with ShardReader(shard_set) as reader:
        whole = list(iterate(reader, spec, weights, begin=Cursor(), last_step=9))
    index = read_index(shard_set)
    cut = shard_set.folder / index.shards[0]
    os.truncate(cut, int(index.offset_N[6]) + 10)
    (shard_set.folder / index.shards[1]).unlink()
    lost = set(index.clips[6:])
    with ShardReader(shard_set) as reader:
        found = list(iterate(reader, spec, weights, begin=Cursor(), last_step=9, threads=threads, skip_damaged=True))
    for one, expected in zip(found, whole, strict=True):
        rows = [row for row, key in enumerate(expected.keys) if key not in lost]
        assert one.keys == tuple(expected.keys[row] for row in rows)
        np.testing.assert_array_equal(one.starts_B, expected.starts_B[rows])
        np.testing.assert_array_equal(one.before_B, expected.before_B[rows])
        np.testing.assert_array_equal(one.lengths_B, expected.lengths_B[rows])
        length = max(one.lengths_B, default=0)
        np.testing.assert_array_equal(one.audio_BT, expected.audio_BT[rows][:, :length])
        assert len(one.skipped) == len(expected.keys) - len(rows)
        assert one.skipped_length == expected.lengths_B.sum() - one.lengths_B.sum()
        assert all(key in " ".join(one.skipped) for key in set(expected.keys) - set(one.keys))
        assert (one.step, one.after, one.step_clips, one.step_length) == (
            expected.step, expected.after, expected.step_clips, expected.step_length,
        )  # fmt: skip
    assert any(0 < len(one.skipped) < len(expected.keys) for one, expected in zip(found, whole, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_finished_in_threads_and_handed_over_in_order(shard_set: ShardSet, threads: int):
    spec, weights = spec_of(shard_set), np.ones(shard_set.clips)
    started: list[HostBatch] = []
    workers: set[int] = set()
    meet = threading.Barrier(threads)

    def finish(batch: HostBatch) -> tuple[str, ...]:
        started.append(batch)
        if len(started) <= threads:
            meet.wait(10)  # passed only when so many are finished at the same time
        workers.add(threading.get_ident())
        time.sleep(0.01 * (len(started) % 3))  # later ones may be ready before earlier ones
        return batch.keys

    with ShardReader(shard_set) as reader:
        expected = [batch.keys for batch in iterate(reader, spec, weights, begin=Cursor(), last_step=9)]
        found = iterate_as(finish, reader, spec, weights, begin=Cursor(), last_step=9, threads=threads)
        first = next(found)
        assert len(started) <= AHEAD * threads + 1, "no further ahead than the readers may be"
        assert [first, *found] == expected
    assert len(started) == len(expected)
    assert threading.get_ident() not in workers
    assert len(workers) == threads


def test_what_fails_in_finishing_is_raised_at_its_batch(shard_set: ShardSet):
    def finish(batch: HostBatch) -> int:
        if batch.step == 2:
            raise ConfigError("as finished")
        return batch.step

    steps = []
    with ShardReader(shard_set) as reader, pytest.raises(ConfigError, match="as finished"):
        for step in iterate_as(
            finish, reader, spec_of(shard_set), np.ones(shard_set.clips), begin=Cursor(), last_step=9, threads=3
        ):
            steps.append(step)  # noqa: PERF402  those before the error
    assert steps == [0] * 4 + [1] * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_without_audio_no_tar_is_read_and_batches_are_the_same(shard_set: ShardSet, threads: int):
    spec, weights = spec_of(shard_set), np.full(shard_set.clips, 1.5)
    with ShardReader(shard_set) as reader:
        whole = list(iterate(reader, spec, weights, begin=Cursor(), last_step=7))
    for tar in shard_set.folder.glob("*.tar"):
        tar.unlink()
    with ShardReader(shard_set) as reader:
        found = list(iterate(reader, spec, weights, begin=Cursor(), last_step=7, threads=threads, audio=False))
    for one, expected in zip(found, whole, strict=True):
        assert one.audio_BT is None
        assert (one.keys, one.epoch, one.step, one.micro, one.after, one.skipped) == (
            expected.keys, expected.epoch, expected.step, expected.micro, expected.after, (),
        )  # fmt: skip
        for name in ("place_B", "starts_B", "before_B", "lengths_B"):
            np.testing.assert_array_equal(getattr(one, name), getattr(expected, name))
        assert (one.step_length, one.step_clips) == (expected.step_length, expected.step_clips)


def test_the_plan_counts_the_lengths_that_it_is_given(shard_set: ShardSet):
    """Tokens, say: capacity, crops and the shortest clip are in them, whatever audio there is."""
    lengths = np.arange(shard_set.clips) + 1  # clips of 1 to 20 tokens
    spec = spec_of(shard_set, capacity=24, crop_length=12, min_length=3, start_multiple=1)
    seen: dict[str, int] = {}
    with ShardReader(shard_set) as reader:
        for batch in iterate(
            reader, spec, np.ones(shard_set.clips), begin=Cursor(), last_step=100, lengths_N=lengths, audio=False
        ):
            if batch.epoch:
                break
            np.testing.assert_array_equal(batch.lengths_B, np.minimum(lengths[batch.place_B], 12))
            assert (batch.starts_B + batch.lengths_B <= lengths[batch.place_B]).all()
            assert len(batch.keys) * max(batch.lengths_B, default=0) <= 24
            seen |= dict(zip(batch.keys, batch.lengths_B.tolist(), strict=True))
        assert sorted(seen) == sorted(reader.index.clips[2:])
    assert sum(seen.values()) == np.minimum(lengths[2:], 12).sum()


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert (one.keys, one.epoch, one.step, one.after) == (other.keys, other.epoch, other.step, other.after)
        np.testing.assert_array_equal(one.audio_BT, other.audio_BT)
        np.testing.assert_array_equal(one.starts_B, other.starts_B)
        np.testing.assert_array_equal(one.before_B, other.before_B)
