"""One command at a time on one corpus: an advisory lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allears.errors import LockedError
from allears.storage.files import storage_error


@contextmanager
def locked(path: Path, doing: str, what: str | None = None) -> Iterator[None]:
    """Hold `path` as a lock file while the body runs; LockedError says who holds it and since when.

    `what` names the thing that is locked in that sentence (default: the folder of `path`).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as error:
        raise storage_error(path, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise LockedError(
                f"{what or path.parent} is in use by {_holder(handle.read())}. Wait until it ends, or stop it and run "
                "this command again; nothing was changed"
            ) from None
        handle.truncate(0)
        handle.write(json.dumps({"pid": os.getpid(), "doing": doing, "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        handle.flush()
        yield


def _holder(text: str) -> str:
    """`process 4711 (kedro run, since 2026-01-01 12:00:00)` from what the holder wrote; it may not have written yet."""
    try:
        note = json.loads(text)
        return f"process {note['pid']} ({note['doing']}, since {note['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
