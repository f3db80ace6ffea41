"""A corpus is recognised only where nothing changed that ingest looks at."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from allears.corpus.unchanged import tree_digest
from tests.unit.corpus import miniatures


def move(old: Path, new: Path) -> None:
    new.parent.mkdir(exist_ok=True)
    old.rename(new)


def other_bytes_at_the_same_time(file: Path, more: bytes) -> None:
    stat = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data + more)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def turned(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is later": lambda root: os.utime(root / "a.wav", ns=(0, (root / "a.wav").stat().st_mtime_ns + 1)),
    "a file is longer": lambda root: other_bytes_at_the_same_time(root / "a.wav", b"\0"),
    "other bytes, as many": lambda root: other_bytes_at_the_same_time(root / "a.wav", b""),
    "a new file": lambda root: (root / "deep" / "new.wav").write_bytes(b""),
    "a new folder": lambda root: (root / "empty").mkdir(),
    "a file less": lambda root: (root / "deep" / "er" / "b.flac").unlink(),
    "a file is renamed": lambda root: move(root / "a.wav", root / "b.wav"),
    "a file is moved": lambda root: move(root / "a.wav", root / "deep" / "a.wav"),
    "a folder is moved": lambda root: move(root / "deep" / "er", root / "er"),
    "two files change places": lambda root: [
        move(root / "a.wav", root / "t"), move(root / "notes.txt", root / "a.wav"), move(root / "t", root / "notes.txt")
    ],
    "a hidden file, which a table may name": lambda root: (root / ".trash" / "c.wav").unlink(),
    "a link leads elsewhere": lambda root: turned(root / "link.wav", "deep/er/b.flac"),
    "a link leads to nothing": lambda root: turned(root / "link.wav", "nothing.wav"),
    "a table outside, to which a link leads": lambda root: (root.parent / "table.csv").write_text("file_name\nb.wav\n"),
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = miniatures.plain(tmp_path / "corpus")
    (tmp_path / "table.csv").write_text("file_name\n")
    (root / "metadata.csv").symlink_to("../table.csv")
    (root / "link.wav").symlink_to("a.wav")
    (root / "folder").symlink_to("deep")
    return root


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_gives_another_digest(root: Path, change: str) -> None:
    before = tree_digest(root)
    assert before is not None
    assert tree_digest(root) == before
    CHANGES[change](root)
    assert tree_digest(root) not in (before, None)


def test_what_a_look_at_the_folders_cannot_tell_has_no_digest(root: Path) -> None:
    assert tree_digest(root / "nowhere") is None
    (root / "out").symlink_to(root.parent)
    assert tree_digest(root) is None


def test_names_that_are_no_text_and_deep_folders_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe.wav")).write_bytes(b"")
    (tmp_path / "/".join("d" * 900)).mkdir(parents=True)
    assert tree_digest(tmp_path) is not None
