"""Recordings inside other files: members of tars, rows of parquet files with embedded audio.

Archives are untrusted: nothing is ever extracted by its name, links and devices are no recordings, and one member is
read up to a limit, whatever its header claims.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from allears.errors import AudioError

MAX_MEMBER_BYTES = 1 << 30
TARS = (".tar", ".tar.gz", ".tgz")
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


def is_tar(name: str) -> bool:
    """Whether the name ends like a tar, compressed or not."""
    return name.lower().endswith(TARS)


def read_members(file: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes | AudioError]]:
    """The bytes of each of the `wanted` members, in the order of the container, which is read once.

    Last comes an AudioError `missing_member` for each that is not there. Of members of one name the first counts.

    A parquet file's members are `row group:row`, whose column `audio` is a struct with `bytes`.
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
    except _BROKEN as error:
        broken = f" ({error})"
    for name in left:
        text = f"{file.name}: no recording '{name}' in it; it was changed, or breaks off{broken}: copy it again"
        yield name, AudioError("missing_member", text)


def _of_tar(file: Path, wanted: dict[str, None]) -> Iterator[tuple[str, bytes | AudioError]]:
    mode: Any = "r|*" if file.name.lower().endswith((".gz", ".tgz")) else "r:"
    with tarfile.open(file, mode) as tar:
        for member in tar:
            if member.isreg() and member.name in wanted:
                stream = tar.extractfile(member)
                if stream is not None and member.size <= MAX_MEMBER_BYTES:
                    data = stream.read()
                    cut = f"{file.name}, {member.name}: {len(data)} of {member.size} bytes are there: copy it again"
                    yield member.name, data if len(data) == member.size else AudioError("truncated_member", cut)
                else:
                    size = f"{file.name}, {member.name}: {member.size} bytes, at most {MAX_MEMBER_BYTES} are read"
                    yield member.name, AudioError("too_large", size)


def _of_parquet(file: Path, wanted: dict[str, None]) -> Iterator[tuple[str, bytes | AudioError]]:
    import pyarrow.parquet as pq

    rows: dict[int, list[int]] = {}
    for name in wanted:
        in_group, _, in_row = name.partition(":")
        rows.setdefault(int(in_group), []).append(int(in_row))
    with pq.ParquetFile(file) as table:
        for group in sorted(group for group in rows if group < table.num_row_groups):
            column = table.read_row_group(group, columns=["audio"])["audio"]
            for row in sorted(rows[group]):
                value = column[row].as_py() if row < len(column) else None
                if value is not None and value.get("bytes") is not None:
                    yield f"{group}:{row}", value["bytes"]
