"""Recordings inside other files: members of tars, rows of parquet files with embedded audio.

Archives are untrusted: nothing is ever extracted by its name, links and devices are no recordings, and one member is
read up to a limit, whatever its header claims.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from allears.errors import AudioError

MAX_MEMBER_BYTES = 1 << 30
MAX_MEMBERS = 5_000_000  # of one tar
MAX_UNPACKED_RATIO = 200  # silence in a wav is packed 1000 times smaller, a shard of recordings is not
TARS = (".tar", ".tar.gz", ".tgz")
BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
_LONGEST_READ = 1 << 26  # of a header: names and pax records are read whole
_BLOCK = 512
_ROWS = 16  # of embedded audio, read together


def is_tar(name: str) -> bool:
    """Whether the name ends like a tar, compressed or not."""
    return name.lower().endswith(TARS)


def tidied(name: str) -> str:
    """The name of a member without `./` and empty parts: `tar -C folder -cf x.tar .` puts a `./` before each."""
    if "./" not in name and "//" not in name:
        return name
    start = "/" if name.startswith("/") else ""
    return start + "/".join(part for part in name.split("/") if part not in ("", "."))


@dataclass(frozen=True, slots=True)
class Member:
    """Name and content of a member; `problem`: why it cannot be taken (reason code and sentence)."""

    name: str
    content: bytes | None = None
    problem: tuple[str, str] | None = None


def tar_members(file: Path, small: Iterable[str] = (), most_bytes: int = 1 << 20) -> Iterator[Member]:
    """Each member of a tar but its folders, in order; contents only of those whose names end in `small`.

    A tar that breaks off, lies about a size or unpacks without end closes with a member that has a `problem` and no
    name. The contents of others are skipped, in a plain tar by a seek.
    """
    endings = tuple(small)
    size = file.stat().st_size
    packed = not file.name.lower().endswith(".tar")
    limit = MAX_UNPACKED_RATIO * size + MAX_MEMBER_BYTES if packed else size
    try:
        with ExitStack() as stack:
            handle = stack.enter_context(file.open("rb"))
            stream: Any = stack.enter_context(gzip.open(handle)) if packed else handle
            bounded: Any = _Bounded(stream)
            tar: Any = stack.enter_context(tarfile.open(fileobj=bounded, mode="r:"))
            for number, member in enumerate(iter(tar.next, None)):
                tar.members.clear()  # else all headers are kept
                end = member.offset_data + member.size
                if end > limit or number >= MAX_MEMBERS:
                    why = "more than the file holds" if not packed else "it unpacks without end"
                    yield _bad("truncated_member", f"{member.name} claims {member.size} bytes, {why}")
                    return
                if not member.isdir():
                    yield _member(tar, member, endings, most_bytes)
            bounded.seek(tar.offset)
            if bounded.read(_BLOCK).strip(b"\0"):
                yield _bad("truncated_member", "after its last readable header comes something else: a size in it lies")
    except BROKEN as error:
        yield _bad("truncated_member", f"it is no tar, or breaks off ({error}): copy it again")


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, endings: tuple[str, ...], most_bytes: int) -> Member:
    problem, name = None, tidied(member.name)
    if not member.isreg() or member.issparse():
        problem = ("link", "a link, a device or a sparse file is no recording")
    elif name.startswith("/") or ".." in name.split("/"):
        problem = ("outside_root", "its name leads out of the archive")
    elif name.lower().endswith(endings):
        if member.size > most_bytes:
            problem = ("too_large", f"{member.size} bytes, at most {most_bytes} are read of such a file")
        else:
            stream = tar.extractfile(member)
            return Member(name, stream.read() if stream else b"")
    return Member(name, None, problem)


def _bad(reason: str, why: str) -> Member:
    return Member("", None, (reason, why))


class _Bounded:
    """A file that refuses a read beyond any header: a lying size must not fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """As of the file; tarfile.ReadError for too much."""
        if size > _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


def read_members(file: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes | AudioError]]:
    """The bytes of each of the `wanted` members, in the order of the container, which is read once.

    Last comes an AudioError `missing_member` for each that is not there. Of members of one name the first counts.

    A parquet file's members are `row group:row` of its column `audio`, or `column:row group:row`: structs with `bytes`.
    """
    left = dict.fromkeys(wanted)
    broken = ""
    found = _of_tar(file, left) if is_tar(file.name) else _of_parquet(file, left)
    try:
        for name, data in found:
            left.pop(name)
            yield name, data
            if not left:
                return
    except BROKEN as error:
        broken = f" ({error})"
    for name in left:
        text = f"{file.name}: no recording '{name}' in it; it was changed, or breaks off{broken}: copy it again"
        yield name, AudioError("missing_member", text)


def _of_tar(file: Path, wanted: dict[str, None]) -> Iterator[tuple[str, bytes | AudioError]]:
    mode: Any = "r|*" if file.name.lower().endswith((".gz", ".tgz")) else "r:"
    with tarfile.open(file, mode) as tar:
        for member in tar:
            name = tidied(member.name)
            if member.isreg() and name in wanted:
                stream = tar.extractfile(member)
                if stream is not None and member.size <= MAX_MEMBER_BYTES:
                    data = stream.read()
                    cut = f"{file.name}, {name}: {len(data)} of {member.size} bytes are there: copy it again"
                    yield name, data if len(data) == member.size else AudioError("truncated_member", cut)
                else:
                    size = f"{file.name}, {name}: {member.size} bytes, at most {MAX_MEMBER_BYTES} are read"
                    yield name, AudioError("too_large", size)


def parquet_member(column: str, group: int, row: int) -> str:
    """The name of the recording in a row of a parquet file's row group."""
    return f"{group}:{row}" if column == "audio" else f"{column}:{group}:{row}"


def parquet_place(member: str) -> tuple[str, int, int]:
    """Column, row group and row of the recording of this name."""
    *column, group, row = member.rsplit(":", 2)
    return column[0] if column else "audio", int(group), int(row)


def _of_parquet(file: Path, wanted: dict[str, None]) -> Iterator[tuple[str, bytes | AudioError]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: dict[tuple[int, str], list[int]] = {}
    for name in wanted:
        column, group, row = parquet_place(name)
        rows.setdefault((group, column), []).append(row)
    try:
        with pq.ParquetFile(file) as table:
            for (number, column), of_column in sorted(rows.items()):
                if number < table.num_row_groups and column in table.schema_arrow.names:
                    yield from _of_group(table, number, column, sorted(of_column))
    except pa.ArrowException as error:
        raise tarfile.ReadError(str(error)) from error


def _of_group(table: Any, group: int, name: str, rows: list[int]) -> Iterator[tuple[str, bytes | AudioError]]:
    """A few rows at a time: a row group may be larger than the memory."""
    first, left = 0, set(rows)
    for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[f"{name}.bytes"]):
        column = batch.column(0)
        for row in sorted(row for row in left if row < first + len(column)):
            left.discard(row)
            value = column[row - first].as_py()
            if value is not None and value.get("bytes") is not None:
                yield parquet_member(name, group, row), value["bytes"]
        first += len(column)
        if not left:
            return
