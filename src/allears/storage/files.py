"""Write files so that a kill at any moment leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allears.errors import StorageError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is fsynced and renamed over `path`, on failure removed.

    Raises StorageError with what to do when the disk is full or the folder read-only.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new temporary folder beside `path`; on success its files are fsynced and it takes the place of `path`.

    A kill leaves the old folder or the new one; only one between the last two renames leaves none, so what points to
    `path` (a handle, a receipt) is written after it. Leftovers of killed writers of `path` are removed. StorageError as
    for `atomic_path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            shutil.rmtree(leftover)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        temporary.mkdir()
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}.old.tmp"))
        temporary.replace(path)
        _fsync_folder(path.parent)
        for old in path.parent.glob(f".{glob.escape(path.name)}.*.old.tmp"):
            shutil.rmtree(old)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed writers of `atomic_path` left of files called `name`; nobody may write such a file now."""
    try:
        for leftover in folder.glob(f".{name}.*.tmp"):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Atomically replace `path` with `data`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Atomically replace `path` with `text` (UTF-8)."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Atomically replace `path` with pretty JSON, keys sorted."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`; StorageError names the file when it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError as error:
        raise StorageError(f"{path} is not valid JSON ({error}); delete it and run the command again") from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for an OSError on `path`."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full; free some space and run the same command again, it goes on where it stopped"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "the folder is read-only for this user; change its permission or run from a folder you own"
        case errno.ENOENT:
            hint = "it does not exist; check the spelling, or run the step that makes it"
        case _:
            hint = "check the path and the disk"
    return StorageError(f"{path}: {error.strerror or error}: {hint}")


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
