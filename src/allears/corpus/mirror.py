"""A source in a bucket, as a folder here: every object at its place, and its bytes when they are first wanted.

`data/01_raw/<corpus>/mirror/<source>/` holds what the bucket lists. Tables and archives are fetched at once, as layouts
are read from them; a recording is `absent` until something decodes it: a file of the right size and time, without
bytes and without permissions. Size and time of a copy say which content of its object it is of, so the folder is its
own journal: what a kill left is gone on with, what has changed is fetched again, and the folder may be deleted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from allears.corpus.fetching import PARTS, absent, fetch_all, lay_out, prepare, stranger
from allears.corpus.layouts.files import is_audio, unsafe
from allears.errors import CorpusError, PassingError, StorageError
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings, SourceSettings
from allears.storage.bucket import Bucket, Object, is_url
from allears.storage.files import read_json

FOLDER = "mirror"
REMEMBERED = "corpus.json"
REASON = "bad_key"
_LONGEST_NAME, _LONGEST_PATH = 255, 3500  # bytes; of a path below the folder, which has a name itself

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A folder that stands for what lies below a URL."""

    folder: Path
    url: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that has no place here, and why."""

    key: str
    why: str


def mirror_of(paths: Paths, source: SourceSettings) -> Mirror | None:
    """Where a source in a bucket lies here; None for a folder."""
    if not is_url(source.path):
        return None
    return Mirror(paths.raw / FOLDER / source.name, source.path)


def reflect(mirror: Mirror) -> list[Refusal]:
    """Make the folder what the bucket lists now; returns what of it cannot be a file here.

    Tables and archives that are new are fetched, recordings are made absent, what is gone leaves. Raises CorpusError
    when nothing lies there, StorageError when it cannot be read or there is no room.
    """
    folder, bucket = mirror.folder, Bucket(mirror.url)
    everything = list(bucket.objects())  # before a folder is made for what cannot be read
    objects, refused = sort_out(everything, one_case=bool(everything) and prepare(folder))
    if not objects:
        raise CorpusError(f"{mirror.url} does not exist or holds nothing: check the bucket and the path in it")
    there = _there(folder)
    _remove(folder, there.keys() - {each.key for each in objects})
    new = [each for each in objects if there.get(each.key) != (each.size, each.stamp_ns)]
    lay_out(folder, new)
    logger.info(
        "%s: %d objects, %.2f GB, %d new or changed; tables and archives are fetched now, recordings when decoded",
        mirror.url, len(objects), sum(each.size for each in objects) / 1e9, len(new),
    )  # fmt: skip
    if not all(each.stamp_ns for each in objects):
        logger.warning("%s: the store gives neither digest nor time: only a change of size is noticed", mirror.url)
    _forget_parts(folder, objects)
    at_once = [each for each in objects if not is_audio(each.key.rpartition("/")[2]) and absent(folder / each.key)]
    if changed := fetch_all(bucket, at_once, folder):
        raise StorageError(
            f"{mirror.url}/{changed[0]}: it was changed while it was fetched; run again when it is complete"
        )
    return refused


@contextlib.contextmanager
def named(mirror: Mirror | None) -> Iterator[None]:
    """What is wrong with a corpus is said of the URL, not of the folder that stands for it."""
    try:
        yield
    except CorpusError as error:
        if mirror is None:
            raise
        raise CorpusError(str(error).replace(str(mirror.folder), mirror.url)) from None


def fetch(files: Iterable[Path]) -> None:
    """Fetch those of `files` that lie in mirrors and are absent; where a mirror was deleted, it is made again first.

    What was changed or removed since it was listed stays absent. Raises as `reflect`.
    """
    wanted: dict[Path, tuple[Mirror, list[Path]]] = {}
    places = _Places()
    for file in dict.fromkeys(files):
        mirror = places.of(file)
        if mirror is not None and (absent(file) or not file.exists()):
            wanted.setdefault(mirror.folder, (mirror, []))[1].append(file)
    for mirror, missing in wanted.values():
        if not all(map(os.path.lexists, missing)):
            reflect(mirror)
        found = [(file, file.lstat()) for file in missing if absent(file)]
        objects = [
            Object(file.relative_to(mirror.folder).as_posix(), seen.st_size, seen.st_mtime_ns) for file, seen in found
        ]
        fetch_all(Bucket(mirror.url), objects, mirror.folder)


def problem(file: Path) -> PassingError | None:
    """Why a file that was to be fetched is not here."""
    if not absent(file) or _Places().of(file) is None:
        return None
    text = f"{file.name}: it was changed or removed in its bucket since it was listed; run `ingest` again"
    return PassingError("not_fetched", text)


def addresses() -> Callable[[Path], str]:
    """A function that says what people call a recording: its URL where it lies in a bucket, else its path."""
    places = _Places()

    def address(file: Path) -> str:
        mirror = places.of(file)
        return str(file) if mirror is None else f"{mirror.url}/{file.relative_to(mirror.folder).as_posix()}"

    return address


def forget(paths: Paths, files: Iterable[Path]) -> None:
    """Delete `files` from the mirrors of a corpus, and with them all tables of it and what was fetched in part.

    Other files are nobody's to delete. What the bucket still lists is absent again with the next ingest.
    """
    below = paths.raw / FOLDER
    gone = [file for file in files if file.is_relative_to(below)]
    for file in gone:
        file.unlink(missing_ok=True)
    for folder in {below / file.relative_to(below).parts[0] for file in gone}:
        if stranger(folder) is not None:
            logger.warning("%s is no mirror (it has no %s): nothing else in it was deleted", folder, PARTS)
            continue
        for file in [one for one in folder.rglob("*") if one.is_file() and not _is_recorded(one.name)]:
            file.unlink()


def sort_out(objects: Iterable[Object], *, one_case: bool) -> tuple[list[Object], list[Refusal]]:
    """What can be files below one folder, hidden ones aside, and what cannot: keys are anybody's words.

    `one_case`: the disk takes names that differ in case, or in how their letters are composed, for one.
    """
    everything = list(objects)
    folders = {folder for each in everything for folder in _folders(each.key)}
    kept: list[Object] = []
    refused: list[Refusal] = []
    taken: dict[str, str] = {}
    for each in everything:
        if each.key.endswith("/") and not each.size:
            continue  # what consoles make for an empty folder
        why = _problem(each.key) or ("there are objects below it, too" if each.key in folders else None)
        if why is None and any(part.startswith(".") for part in each.key.split("/")):
            continue
        if why is None and one_case:
            clash = next((at for at in _clashes(each.key, taken)), None)
            why = None if clash is None else f"this disk cannot tell it from {clash}"
        if why is None:
            kept.append(each)
        else:
            refused.append(Refusal(each.key, f"{each.key!r}: {why}; give the object another key"))
    return kept, refused


def _problem(key: str) -> str | None:
    parts = key.split("/")
    if (why := unsafe(key)) is not None:
        return why
    if any(part in ("", ".") for part in parts):
        return "a part of it is empty or a ."
    if any(len(part.encode()) > _LONGEST_NAME for part in parts) or len(key.encode()) > _LONGEST_PATH:
        return "it is too long for a file's name"
    return None


def _clashes(key: str, taken: dict[str, str]) -> Iterator[str]:
    """Names of files and folders so far that are this one's but for their case; its own are noted."""
    for name in (*_folders(key), key):
        alike = unicodedata.normalize("NFC", name).casefold()
        if taken.setdefault(alike, name) != name:
            yield taken[alike]


def _folders(key: str) -> Iterator[str]:
    at = key.find("/")
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)


def _there(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files below a mirror, by their keys."""
    found: dict[str, tuple[int, int]] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting += [f"{below}{entry.name}/"] if entry.name != PARTS else []
                else:
                    seen = entry.stat(follow_symlinks=False)
                    found[f"{below}{entry.name}"] = seen.st_size, seen.st_mtime_ns
    return found


def _remove(folder: Path, keys: Iterable[str]) -> None:
    for key in keys:
        (folder / key).unlink(missing_ok=True)
        for above in (folder / key).parents:
            if above == folder:
                break
            with contextlib.suppress(OSError):  # others lie in it
                above.rmdir()


def _forget_parts(folder: Path, objects: Sequence[Object]) -> None:
    """Delete what was fetched in part of contents that are no more."""
    left = list((folder / PARTS).iterdir())
    known = {each.digest for each in objects} if left else set()
    for part in left:
        if part.name not in known:
            part.unlink()


def _is_recorded(name: str) -> bool:
    return is_audio(name) or name.lower().endswith((".tar", ".tar.gz", ".tgz"))


class _Places:
    """Finds the mirror that a file lies in; what was looked up of a folder is known."""

    def __init__(self) -> None:
        self._known: dict[Path, Mirror | None] = {}

    def of(self, file: Path) -> Mirror | None:
        above = file.parent
        if above not in self._known:
            self._known[above] = self._look(above) if FOLDER in above.parts else None
        return self._known[above]

    def _look(self, folder: Path) -> Mirror | None:
        for each in (folder, *folder.parents):
            remembered = each.parent.parent / REMEMBERED
            if each.parent.name == FOLDER and remembered.exists():
                for source in _sources(remembered):
                    if source.name == each.name and is_url(source.path):
                        return Mirror(each, source.path)
        return None


def _sources(remembered: Path) -> Sequence[SourceSettings]:
    """Those of a corpus; none where the file is somebody's own that bears this name."""
    try:
        return CorpusSettings.model_validate(read_json(remembered)).sources
    except (StorageError, ValidationError):
        return ()
