"""Whatever is left of something below a folder: in the bytes of every file, and in the values of every table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def leftovers(folder: Path, needles: Iterable[bytes], but: Iterable[str] = ()) -> list[str]:
    """`file: needle` of every find; files named in `but` are not looked at."""
    names, wanted = set(but), list(needles)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in names]
    return [f"{file.relative_to(folder)}: {needle[:40]!r}" for file in files for needle in found(file, wanted)]


def found(file: Path, needles: list[bytes]) -> list[bytes]:
    data = file.read_bytes()
    if file.suffix == ".parquet":
        data += str(pq.read_table(file).to_pylist()).encode()
    elif file.suffix == ".arrow":
        data += str(pa.ipc.open_stream(data).read_all().to_pylist()).encode()
    return [needle for needle in needles if needle in data]
