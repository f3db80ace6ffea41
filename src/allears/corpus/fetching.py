"""Objects of a bucket as files: absent ones, which only say how long they are, and their bytes, many at once."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from allears.errors import StorageError
from allears.storage.bucket import Bucket, Changed, Object
from allears.storage.files import storage_error

PARTS = ".parts"  # in a mirror: what has come of objects that are not whole yet
AT_ONCE = 16  # fetched side by side: small objects take the time of an answer, not of their bytes
_DEALT = 1000
_ROOM = 1.02  # of the bytes: blocks and folders

logger = logging.getLogger(__name__)


def prepare(folder: Path) -> bool:
    """Make the folder of a mirror; returns whether its disk takes names that differ only in case for one.

    Raises StorageError when the folder is not ours, or its disk keeps neither times nor permissions: an absent file
    could not be told from others.
    """
    if (other := stranger(folder)) is not None:
        raise StorageError(
            f"{folder} holds {other.name}, but no {PARTS} as every mirror does: what its bucket does not list would be "
            "deleted. Give an empty folder, or a link to one, in its place"
        )
    parts = folder / PARTS
    trial = parts / "Trial"
    known = Object("Trial", 1, 1_234_567_800)
    try:
        parts.mkdir(parents=True, exist_ok=True)
        lay_out(parts, [known])
        found = trial.lstat()
        one_case = (parts / "tRIAL").exists()
        trial.unlink()
    except OSError as error:
        raise storage_error(folder, error) from error
    if stat.S_IMODE(found.st_mode) or found.st_mtime_ns != known.stamp_ns:
        raise StorageError(
            f"{folder}: its disk keeps no permissions, or no exact times, of files, and a bucket cannot be mirrored "
            "there: put a link to an empty folder on another disk in its place"
        )
    return one_case


def stranger(folder: Path) -> Path | None:
    """Something in a folder that is no mirror; None for a mirror, and where one can be made."""
    try:
        if not folder.exists() or (folder / PARTS).is_dir():
            return None
        return next(folder.iterdir(), None)
    except OSError as error:
        raise storage_error(folder, error) from error


def lay_out(folder: Path, objects: Sequence[Object]) -> None:
    """Make each object an absent file: its size and its stamp, no bytes, no permissions."""
    made: set[Path] = set()
    for each in objects:
        path = folder / each.key
        try:
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0)  # never readable, killed or not
            try:
                os.truncate(handle, each.size)
                os.utime(handle, ns=(each.stamp_ns, each.stamp_ns))
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(path, error) from error


def absent(file: Path) -> bool:
    """Whether a file has no permissions, as those of `lay_out`."""
    try:
        found = file.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and not stat.S_IMODE(found.st_mode)


def fetch_all(bucket: Bucket, objects: Sequence[Object], folder: Path) -> list[str]:
    """Put the bytes of each into its absent file; returns keys of those that are no longer what was listed.

    Raises StorageError when there is no room for all, or when the bucket cannot be read. What has come stays, and
    nothing is waited for that is longer than one range.
    """
    if not objects:
        return []
    total = sum(each.size for each in objects)
    _check_room(bucket, objects, total, folder)
    _make_parts(folder)
    logger.info("%s: fetching %d objects, %.2f GB", bucket.url, len(objects), total / 1e9)
    changed: list[str] = []
    with _progress() as progress:
        bar = progress.add_task("fetching", total=total)
        ended = Event()

        def told(came: int) -> None:
            if ended.is_set():
                raise _Ended
            progress.advance(bar, came)

        pool = ThreadPoolExecutor(AT_ONCE, "fetch")
        try:
            for first in range(0, len(objects), _DEALT):
                dealt = objects[first : first + _DEALT]
                keys = {pool.submit(_fetch, bucket, each, folder, told): each.key for each in dealt}
                changed += [keys[one] for one in as_completed(keys) if not one.result()]
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)
    return changed


class _Ended(Exception):  # noqa: N818  not an error of the run
    """Others have failed, or a person has had enough."""


def _make_parts(folder: Path) -> None:
    try:
        (folder / PARTS).mkdir(exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error


def _fetch(bucket: Bucket, wanted: Object, folder: Path, told: Callable[[int], None]) -> bool:
    """Fetch one; the file is absent or whole at any moment. False: it was changed or removed meanwhile."""
    part, target = folder / PARTS / wanted.digest, folder / wanted.key
    try:
        bucket.fetch(wanted, part, told)
    except Changed:
        return False
    try:
        os.utime(part, ns=(wanted.stamp_ns, wanted.stamp_ns))
        part.replace(target)
    except OSError as error:
        raise storage_error(target, error) from error
    return True


def _check_room(bucket: Bucket, objects: Sequence[Object], total: int, folder: Path) -> None:
    needed, free = total * _ROOM, shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{bucket.url}: {len(objects)} objects of {total / 1e9:.2f} GB are to be fetched, and {folder} has "
            f"{free / 1e9:.2f} GB left: free some space, put a link to an empty folder on a larger disk in its place, "
            "or begin with a part (ingest.limit, or a path further down)"
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        transient=True,
    )  # fmt: skip
