"""Names of clips, the same for the same piece of the same file whatever else the corpus holds, and where they lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

_STEM = 40
_HASH = 10


class Recording(NamedTuple):
    """A file of its own, or the `member` of an archive (a tar, a parquet file)."""

    file: Path
    member: str | None = None


def recording_at(root: str, path: str, member: str | None) -> Recording:
    """The recording that a row names: `path` lies below `root`, or anywhere where it is absolute."""
    return Recording(Path(os.path.join(root, path)), member)  # noqa: PTH118  one Path for it, not three


class ClipRef(NamedTuple):
    """Where a clip's audio is. `end_s` None: to the end of the file, so that a wrong header is noticed.

    `file_sha256` and `file_bytes` are of the bytes of the recording: of the file, or of its `member` where it is an
    archive. `file_bytes` None: nobody knows which bytes to expect.
    """

    clip: str
    file: str
    file_sha256: str
    channel: int | None
    start_s: float
    end_s: float | None
    member: str | None = None
    file_bytes: int | None = None

    @property
    def recording(self) -> Recording:
        """What it is cut from."""
        return Recording(Path(self.file), self.member)


def clip_id(
    source: str, name: str, path: str, channel: int | None, start_s: float | None, end_s: float | None,
    member: str | None = None,
) -> str:  # fmt: skip
    """A readable stem and ten hexadecimal digits of all that makes this clip; letters, digits, - and _ only.

    No dots, because WebDataset splits names at the first one; ten digits, because a stem repeats in other folders.
    """
    stem = (member or path or name).rstrip("/").rpartition("/")[2].rsplit(".", maxsplit=1)[0]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:_STEM] or "clip"
    span = ["" if value is None else f"{value:.6f}" for value in (start_s, end_s)]
    inside = [] if member is None else [member]
    key = "\0".join((source, name, path, "" if channel is None else str(channel), *span, *inside))
    return f"{readable}-{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:_HASH]}"
