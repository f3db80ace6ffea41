"""A bounded cache of contents by their sha256, which is checked whenever one is read: a flipped bit is no content.

Several processes may use it, and anyone may delete it or parts of it at any moment: what is not there is fetched again.
Full is full: nothing that is in use makes room for the next. Where everything comes up once an epoch, in random order,
a cache of a share of it then saves that share of the requests, while one that drops what was used longest ago would
save about half of its square.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allears.storage.files import storage_error

TOTAL = ".total"  # the bytes of all contents, as text of so many characters:
TOTAL_BYTES = 32
HALF_WRITTEN_S = 3600.0  # older leftovers of writers are of killed ones


class Cache:
    """Contents in `folder`, at most `most_bytes` in all. `damaged` counts those that were not what their name says,
    `refused` those that could not be written.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.damaged = self.refused = 0
        self._full = False

    def prune(self, keep: Iterable[str]) -> None:
        """Delete what is not in `keep` (sha256, hexadecimal), and what is too much; count what is left. It takes memory
        for what is here, however much there is to keep.

        Raises StorageError when the folder cannot be used.
        """
        try:
            with self._held() as total:
                _note(total, self._prune(keep))
        except OSError as error:
            raise storage_error(self.folder, error) from error
        self._full = False

    def clear(self) -> None:
        """Delete all contents, whoever writes others meanwhile. Raises StorageError when one stays."""
        try:
            for entry in list(os.scandir(self.folder)) if self.folder.exists() else ():
                if entry.is_dir():
                    gone = self.folder / f".{secrets.token_hex(4)}"  # nobody writes there
                    Path(entry.path).rename(gone)
                    shutil.rmtree(gone)
            (self.folder / TOTAL).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        self._full = False

    def has(self, name: str) -> bool:
        """Whether it seems to be there."""
        return self._path(name).exists()

    def get(self, name: str) -> bytes | None:
        """The content of this sha256; None when it is not there. One that is damaged is deleted."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() == name:
            return data
        self.damaged += 1
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None

    def put(self, name: str, data: bytes) -> None:
        """Keep a content, where there is room. A disk that is full or read-only is counted, and harms nothing else."""
        if self._full:
            return
        path = self._path(name)
        temporary = path.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
        try:
            with self._held() as total:
                size = _noted(total) + len(data)
                if size > self.most_bytes:
                    self._full = True
                elif not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    temporary.write_bytes(data)
                    temporary.replace(path)
                    _note(total, size)
        except OSError:
            self.refused += 1
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The open file of the total, held against other processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        total = os.open(self.folder / TOTAL, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(total, fcntl.LOCK_EX)
            yield total
        finally:
            os.close(total)

    def _prune(self, keep: Iterable[str]) -> int:
        total = 0
        folders = [entry.path for entry in os.scandir(self.folder) if entry.is_dir()]
        unknown = {entry.name for folder in folders for entry in os.scandir(folder)}
        unknown.difference_update(keep)
        for folder in folders:
            for entry in os.scandir(folder):
                state = entry.stat()
                if entry.name.startswith("."):
                    drop = time.time() - state.st_mtime > HALF_WRITTEN_S
                else:
                    drop = entry.name in unknown or total + state.st_size > self.most_bytes
                    total += 0 if drop else state.st_size
                if drop:
                    Path(entry.path).unlink(missing_ok=True)
        return total


def _noted(total: int) -> int:
    text = os.pread(total, TOTAL_BYTES, 0)
    return int(text) if text.strip().isdigit() else 0


def _note(total: int, size: int) -> None:
    os.pwrite(total, f"{size:<{TOTAL_BYTES}d}".encode(), 0)
