import hashlib
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from allears.storage.cache import TOTAL, Cache


def contents(count: int, size: int = 1000, seed: int = 0) -> dict[str, bytes]:
    found = [f"{seed}-{n}".encode().ljust(size, b".") for n in range(count)]
    return {hashlib.sha256(data).hexdigest(): data for data in found}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*"))


def test_what_is_put_comes_back_up_to_the_bound(tmp_path: Path):
    cache, known = Cache(tmp_path / "cache", 4500), contents(10)
    for name, data in known.items():
        cache.put(name, data)
        cache.put(name, data)  # counts once
    kept = [name for name in known if cache.has(name)]
    assert kept == list(known)[:4], "what is there stays"
    assert all(cache.get(name) == known[name] for name in kept)
    assert cache.get(list(known)[-1]) is None
    assert (cache.damaged, cache.refused) == (0, 0)


def test_damage_is_no_content(tmp_path: Path):
    cache, known = Cache(tmp_path, 10_000), contents(3)
    for name, data in known.items():
        cache.put(name, data)
    flipped, cut, lost = known
    path = tmp_path / flipped[:2] / flipped
    path.write_bytes(b"x" + path.read_bytes()[1:])
    os.truncate(tmp_path / cut[:2] / cut, 0)
    (tmp_path / lost[:2] / lost).unlink()
    assert [cache.get(name) for name in known] == [None, None, None]
    assert cache.damaged == 2
    assert not cache.has(flipped), "it is not read again"


def test_a_cache_that_is_deleted_is_filled_again(tmp_path: Path):
    cache, known = Cache(tmp_path / "cache", 10_000), contents(4)
    for name, data in known.items():
        cache.put(name, data)
        shutil.rmtree(tmp_path / "cache")
    assert cache.get(next(iter(known))) is None
    cache.put(*next(iter(known.items())))
    assert cache.get(next(iter(known))) is not None
    assert cache.refused == 0


def test_a_cache_is_cleared_also_behind_a_link(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    cache, known = Cache(tmp_path / "cache", 10_000), contents(5)
    for name, data in known.items():
        cache.put(name, data)
    assert size_of(tmp_path / "disk") == 5000
    cache.clear()
    assert list((tmp_path / "disk").iterdir()) == []
    cache.put(*next(iter(known.items())))
    assert size_of(tmp_path / "disk") == 1000
    Cache(tmp_path / "nowhere", 1).clear()


def test_only_what_is_in_use_stays(tmp_path: Path):
    cache, known, others = Cache(tmp_path, 6000), contents(3), contents(3, seed=1)
    for name, data in (known | others).items():
        cache.put(name, data)
    leftover = tmp_path / next(iter(known))[:2] / ".killed.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (1, 1))
    (tmp_path / TOTAL).write_text("999999999")  # a kill may leave it wrong
    cache.prune(known.keys())
    assert size_of(tmp_path) == 3000
    assert not leftover.exists()
    assert not any(cache.has(name) for name in others)
    cache.put(*next(iter(others.items())))
    assert size_of(tmp_path) == 4000, "there is room again"
    smaller = Cache(tmp_path, 2500)
    smaller.prune((known | others).keys())
    assert size_of(tmp_path) == 2000


def test_a_folder_that_cannot_be_written_is_counted(tmp_path: Path):
    (tmp_path / "cache").write_text("a file is in the way")
    cache = Cache(tmp_path / "cache", 10_000)
    for name, data in contents(2).items():
        cache.put(name, data)
        assert cache.get(name) is None
    assert cache.refused == 2


@pytest.mark.parametrize("processes", [3])
def test_processes_keep_the_bound_together(tmp_path: Path, processes: int):
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_fill, [tmp_path] * processes, range(processes)))
    assert size_of(tmp_path) == 30_000
    assert int((tmp_path / TOTAL).read_text()) == 30_000


def _fill(folder: Path, seed: int) -> None:
    cache = Cache(folder, 30_500)
    for name, data in contents(20, seed=seed).items():
        cache.put(name, data)
