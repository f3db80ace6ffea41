"""A disk without space, for real: a tmpfs of 256 KiB."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allears.errors import StorageError
from allears.storage.files import write_bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_old_file_survives_and_the_message_says_what_to_do(small_disk: Path):
    target = small_disk / "index.parquet"
    write_bytes(target, b"old")
    with pytest.raises(StorageError, match=r"index\.parquet.*disk is full; free some space"):
        write_bytes(target, b"x" * 1_000_000)
    assert target.read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["index.parquet"]
