"""Copies of the shards in buckets: what is missing there or differs is put there, what has left the shards is dropped.

`copies/` beside the shards notes each copy, so that whoever withdraws a clip knows where it still lies. An object
counts as copied when the note has it with the size and time that the tar has here, and with the size and etag that the
bucket lists: an unchanged copy is recognised by one listing, a killed one goes on, what somebody changed there is put
there again. What must go goes first; the marker that training looks for comes last.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from allears.engine.threads import in_threads
from allears.errors import ConfigError, StorageError
from allears.shards.checking import check_tar
from allears.shards.handle import INDEX, ShardSet
from allears.shards.index import Index, read_index
from allears.shards.remote import MARKER, read_marker
from allears.storage.bucket import Bucket, Object
from allears.storage.digest import value_digest
from allears.storage.files import read_json, write_json

NOTES = "copies"
NOTE_EVERY_S = 10.0  # what a kill may cost
UPLOADS = 4  # at a time

File = tuple[int, int, int]  # bytes and time (ns) of a file here, stamp of its copy (`storage.bucket.Object`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy at `url`. `shards`: the digest of those that it holds whole; empty while it is being changed."""

    url: str
    shards: str = ""
    files: dict[str, File] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was done: files put there and dropped there, and all that are there now."""

    put: int
    megabytes: float
    dropped: int
    files: int


def noted(shards: Path) -> list[Copy]:
    """The copies of the corpus whose shards lie in the folder `shards`."""
    found = [read_json(note) for note in sorted((shards / NOTES).glob("*.json"))]
    return [
        Copy(url=one["url"], shards=one["shards"], files={name: tuple(file) for name, file in one["files"].items()})
        for one in found
    ]


def copy_shards(shards: Path, shard_set: ShardSet | None, url: str) -> Copied:
    """Make what lies at `url` the copy of `shard_set`; None: no shards are left, so empty and forget it.

    `shards` is the folder of the corpus's shards. Raises ConfigError when something else lies at `url`, StorageError
    when the bucket cannot be reached or a tar here is damaged; the same call goes on.
    """
    bucket = Bucket(url)
    there = {one.key: one for one in bucket.objects()}
    marker = _checked_marker(bucket, there, shards.name)
    noted_files = next((one.files for one in noted(shards) if one.url == url), {})
    files = _files(shard_set)
    same = {name: noted_files[name] for name, path in files.items() if _is_same(path, noted_files.get(name), there)}
    todo = {name: path for name, path in files.items() if name not in same}
    gone = [name for name in there if _is_ours(name) and name not in same]
    copy = Copy(url=url, files=same)
    if todo or gone or shard_set is None or marker.get("shards") != shard_set.digest:
        _note(shards, copy)
        bucket.write(MARKER, _marker(shards.name, ""))
        bucket.remove(gone)
        if shard_set is None:
            bucket.remove([MARKER])
            _note_file(shards, url).unlink()
            return Copied(put=0, megabytes=0.0, dropped=len(gone), files=0)
        _put(bucket, shard_set, todo, partial(_note, shards), copy)
        bucket.write(MARKER, _marker(shards.name, shard_set.digest))
    _note(shards, replace(copy, shards="" if shard_set is None else shard_set.digest))
    size = sum(path.stat().st_size for path in todo.values()) / 1e6
    return Copied(put=len(todo), megabytes=size, dropped=len(set(gone) - set(todo)), files=len(files))


def renew(shards: Path, shard_set: ShardSet | None) -> None:
    """Bring all noted copies to what `shard_set` is now, if they can be reached; the others stay noted as they are."""
    for copy in noted(shards):
        with suppress(StorageError, ConfigError):
            copy_shards(shards, shard_set, copy.url)


def _put(
    bucket: Bucket, shard_set: ShardSet, files: Mapping[str, Path], note: Callable[[Copy], None], copy: Copy
) -> None:
    """Put `files` there, each tar once it is checked, the index last; add them to `copy` and note that now and then."""
    index = read_index(shard_set)
    noted_s = time.monotonic()
    tars = [name for name in files if name != INDEX]
    try:
        for put in in_threads(partial(_put_tar, bucket, index, files), tars, title="Copying shards", workers=UPLOADS):
            copy.files.update(put)
            if time.monotonic() - noted_s > NOTE_EVERY_S:
                note(copy)
                noted_s = time.monotonic()
        if INDEX in files:
            copy.files[INDEX] = _noted_file(files[INDEX], bucket.put(files[INDEX], INDEX))
    finally:
        note(copy)


def _put_tar(bucket: Bucket, index: Index, files: Mapping[str, Path], name: str) -> dict[str, File]:
    if damage := check_tar(files[name].parent, index, index.shards.index(name)):
        raise StorageError(
            f"{damage[0]}; a damaged tar is not copied. `allears shards verify` lists what is wrong and says what to do"
        )
    return {name: _noted_file(files[name], bucket.put(files[name], name))}


def _noted_file(path: Path, put: Object) -> File:
    return path.stat().st_size, path.stat().st_mtime_ns, put.stamp_ns


def _files(shard_set: ShardSet | None) -> dict[str, Path]:
    """Names in the copy → files here."""
    if shard_set is None:
        return {}
    return {name: shard_set.folder / name for name in (*read_index(shard_set).shards, INDEX)}


def _is_same(path: Path, noted_file: File | None, there: Mapping[str, Object]) -> bool:
    found = there.get(path.name)
    if found is None or noted_file is None or not found.stamp_ns or not path.exists():
        return False
    return noted_file == _noted_file(path, found) and found.size == noted_file[0]


def _is_ours(name: str) -> bool:
    return name == INDEX or (name.endswith(".tar") and "/" not in name)


def _checked_marker(bucket: Bucket, there: Mapping[str, Object], corpus: str) -> dict[str, str]:
    marker = read_marker(bucket) if MARKER in there else {}
    if there and not marker:
        raise ConfigError(
            f"{bucket.url} holds files that are no copy of shards ({next(iter(there))} …): name an empty folder of the "
            "bucket"
        )
    if marker and marker.get("corpus") != corpus:
        raise ConfigError(
            f"{bucket.url} holds the copy of corpus '{marker.get('corpus')}', not of '{corpus}': name another folder "
            "of the bucket"
        )
    return marker


def _marker(corpus: str, shards: str) -> bytes:
    return json.dumps({"corpus": corpus, "shards": shards}).encode()


def _note(shards: Path, copy: Copy) -> None:
    write_json(_note_file(shards, copy.url), asdict(copy))


def _note_file(shards: Path, url: str) -> Path:
    return shards / NOTES / f"{value_digest(url)[:12]}.json"
