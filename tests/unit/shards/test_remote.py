"""Batches from a copy behind a server that fails: the same bytes, or an error that names what failed; never a hang."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from allears.errors import DamageError, StaleError, StorageError
from allears.shards.batches import Cursor, HostBatch, iterate
from allears.shards.copies import copy_shards
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.shards.plan import PlanSpec, data_digest
from allears.shards.reader import ShardReader
from allears.shards.remote import IN_FLIGHT, Remote, Traffic, remote_of
from allears.storage.cache import Cache
from allears.storage.ranges import Patience
from tests.range_server import Fault, Faulty, serving
from tests.support import make_shards

QUICK = Patience(timeout_s=1.0, tries=3, pause_s=0.02)
CLIPS, STEPS, ROUND = 60, 12, 100_000


@pytest.fixture(scope="module")
def shard_set(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards"), clips=CLIPS, seconds=0.4)[0]


@pytest.fixture
def server(shard_set: ShardSet) -> Iterator[Faulty]:
    with serving(shard_set.folder) as one:
        yield one


def batches(
    shard_set: ShardSet, remote: Remote | None, threads: int = 2, *, skip_damaged: bool = False
) -> tuple[list[HostBatch], Traffic | None]:
    weights_N = np.ones(shard_set.clips)
    spec = PlanSpec(digest=data_digest(shard_set.digest, weights_N), seed=1, capacity=50_000, crop_length=5_000, pool=8)
    with ShardReader(shard_set, remote) as reader:
        every = iterate(
            reader, spec, weights_N, begin=Cursor(), last_step=STEPS, threads=threads, skip_damaged=skip_damaged
        )
        return list(every), reader.traffic()


def read(shard_set: ShardSet, server: Faulty, cache: Cache | None = None) -> Traffic:
    """All batches through the server, which must be those of the tars; what it took."""
    remote = Remote(url=server.url, cache=cache, patience=QUICK, round_bytes=ROUND)
    found, traffic = batches(shard_set, remote)
    local, _ = batches(shard_set, None)
    for one, other in zip(found, local, strict=True):
        assert (one.keys, one.after) == (other.keys, other.after)
        np.testing.assert_array_equal(one.audio_BT, other.audio_BT)
    assert traffic is not None
    return traffic


def test_a_copy_gives_the_batches_of_the_tars(shard_set: ShardSet, server: Faulty) -> None:
    server.delay_s = 0.02
    traffic = read(shard_set, server)
    assert (traffic.requests, traffic.retries) == (len(server.asked), 0)
    heard = sum(len(batch.keys) for batch in batches(shard_set, None)[0])
    assert traffic.requests < heard, "neighbours come together"
    assert 1 < server.most_at_once <= IN_FLIGHT


@pytest.mark.parametrize("fault", ["500", "cut", "stall", "short", "flip"])
def test_what_fails_once_is_asked_for_again(shard_set: ShardSet, server: Faulty, fault: Fault) -> None:
    numbers = (0,) if fault == "flip" else (0, 3)  # the second might be the same clip, asked for again
    server.fault_of = lambda number, path: fault if number in numbers else None
    traffic = read(shard_set, server)
    assert traffic.requests == len(server.asked) > 4
    assert traffic.retries == (0 if fault == "flip" else 2), "the one clip that came wrong is asked for once more"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "asked for 3 times in .* the store is out of order"),
        ("cut", "asked for 3 times in .* the connection was lost"),
        ("stall", "asked for 3 times in .* no answer within 1 s"),
        ("short", "asked for 3 times in .* bytes came: the object was cut or is another by now; copy"),
        ("404", "asked for 1 times in .* it is not there: copy the shards there again"),
        ("403", "asked for 1 times in .* these credentials may not"),
        ("whole", "asked for 1 times in .* knows no range requests"),
    ],
)
def test_what_fails_for_good_is_said_soon(shard_set: ShardSet, server: Faulty, fault: Fault, said: str) -> None:
    server.fault_of = lambda number, path: fault if number >= 2 else None
    began = time.monotonic()
    with pytest.raises(StorageError, match=rf"{server.url}/synthetic-00000[01]\.tar, bytes \d+ to \d+, {said}"):
        read(shard_set, server)
    assert time.monotonic() - began < 20, "not one patience after the other"


def test_other_bytes_are_never_heard(shard_set: ShardSet, server: Faulty) -> None:
    server.fault_of = lambda number, path: "flip"
    with pytest.raises(StaleError, match=rf"{server.url}/synthetic.*, clip clip-\d+, offset \d+: .*sha256 is another"):
        read(shard_set, server)


def test_a_clip_that_was_changed_costs_itself_alone_however_many_came_with_it(
    shard_set: ShardSet, tmp_path: Path
) -> None:
    index = read_index(shard_set)
    shutil.copytree(shard_set.folder, tmp_path / "copy")
    tar = tmp_path / "copy" / index.shards[0]
    data = bytearray(tar.read_bytes())
    data[int(index.offset_N[5]) + int(index.length_N[5]) // 2] ^= 1
    tar.write_bytes(data)
    with serving(tmp_path / "copy") as server:
        remote = Remote(url=server.url, patience=QUICK, round_bytes=ROUND)
        found, traffic = batches(shard_set, remote, skip_damaged=True)
        with pytest.raises(DamageError, match=rf"{server.url}/.*, clip {index.clips[5]}, "):
            batches(shard_set, remote)
    for one, whole in zip(found, batches(shard_set, None)[0], strict=True):
        assert one.keys == tuple(key for key in whole.keys if key != index.clips[5])
        assert len(one.skipped) == len(whole.keys) - len(one.keys)
    assert sum(len(one.skipped) for one in found) > 0
    assert traffic is not None
    assert traffic.requests < sum(len(one.keys) for one in found), "neighbours came together"


def test_a_cache_saves_the_requests_and_anybody_may_harm_it(
    shard_set: ShardSet, server: Faulty, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    first = read(shard_set, server, Cache(folder, 10**9))
    assert first.requests > 0
    server.asked.clear()
    again = read(shard_set, server, Cache(folder, 10**9))
    assert (again.requests, server.asked) == (0, [])
    assert again.from_cache > 0

    for number, file in enumerate(sorted(folder.glob("*/*"))):
        if number % 3 == 0:
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        elif number % 3 == 1:
            file.unlink()
    harmed = read(shard_set, server, Cache(folder, 10**9))
    assert harmed.damaged == -(-CLIPS // 3)
    assert harmed.requests > 0
    assert harmed.not_cached == 0


def test_a_cache_that_vanishes_while_it_is_read_is_no_matter(
    shard_set: ShardSet, server: Faulty, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    read(shard_set, server, Cache(folder, 10**9))
    weights_N = np.ones(shard_set.clips)
    spec = PlanSpec(digest=data_digest(shard_set.digest, weights_N), seed=1, capacity=50_000, crop_length=5_000, pool=8)
    remote = Remote(url=server.url, cache=Cache(folder, 10**9), patience=QUICK, round_bytes=ROUND)
    with ShardReader(shard_set, remote) as reader, ShardReader(shard_set) as local:
        ours = iterate(reader, spec, weights_N, begin=Cursor(), last_step=STEPS)
        theirs = iterate(local, spec, weights_N, begin=Cursor(), last_step=STEPS)
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_array_equal(one.audio_BT, other.audio_BT)
            if number == 1:
                Cache(folder, 0).clear()  # not rmtree: clips are being written there
        traffic = reader.traffic()
        assert traffic is not None
        assert traffic.requests > 0


def test_a_reader_that_is_closed_waits_for_nothing(shard_set: ShardSet, server: Faulty) -> None:
    server.fault_of = lambda number, path: "stall" if number else None
    remote = Remote(url=server.url, patience=Patience(timeout_s=60.0, tries=9, pause_s=60.0), round_bytes=ROUND)
    began = time.monotonic()
    with ShardReader(shard_set, remote) as reader:
        reader.expect(range(CLIPS))
    assert time.monotonic() - began < 5


def test_what_is_wanted_twice_is_asked_for_once(shard_set: ShardSet, server: Faulty) -> None:
    with ShardReader(shard_set, Remote(url=server.url, patience=QUICK)) as reader, ShardReader(shard_set) as local:
        for places in ([5, 6, 5], [5]):
            reader.expect(places)
        for place in (5, 5, 6, 5):
            assert reader.flac(place) == local.flac(place)
        assert len(server.asked) == 1
        assert reader.flac(40) == local.flac(40), "what nobody expected is asked for when it is read"


def test_only_the_copy_of_these_shards_is_read(shard_set: ShardSet, server: Faulty, tmp_path: Path) -> None:
    assert remote_of((), shard_set, read_index(shard_set), 1.0) is None
    home, other = tmp_path / "mine", tmp_path / "other"
    with pytest.raises(StaleError, match=rf"{server.url} holds no copy\. Run `allears shards copy"):
        remote_of((server.url,), shard_set, read_index(shard_set), 0.0)
    make_shards(other, clips=20, seconds=0.4, seed=1)
    others = ShardSet.from_json(make_shards(other, clips=20, seconds=0.4, seed=1)[0].to_json())
    for name, shards in (("a", others), ("b", shard_set)):
        copy_shards(home, shards, str(tmp_path / name))
    urls = tuple(str(tmp_path / name) for name in "ab")
    found = remote_of(urls, shard_set, read_index(shard_set), 0.0)
    assert found is not None
    assert (found.url, found.cache) == (urls[1], None)
    with pytest.raises(StaleError, match=rf"a holds shards {others.digest[:12]} of corpus 'mine'"):
        remote_of(urls[:1], shard_set, read_index(shard_set), 0.0)
    (tmp_path / "b" / "copy.json").write_text('{"corpus": "mine", "shards": ""}')
    with pytest.raises(StaleError, match="b is being changed, or was left half copied"):
        remote_of(urls[1:], shard_set, read_index(shard_set), 0.0)
    for one, other_batch in itertools.islice(
        zip(batches(shard_set, found)[0], batches(shard_set, None)[0], strict=True), 5
    ):
        np.testing.assert_array_equal(one.audio_BT, other_batch.audio_BT)
