"""Tombstones: what was withdrawn and may not come back. Digests alone, no name and no text.

`data/01_raw/<corpus>/withdrawn.jsonl` has a line for each clip. A file of the same bytes is refused at ingest, one of
other bytes that decodes to the same samples by the audit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from allears.corpus.clips import clip_id
from allears.errors import StorageError
from allears.params.base import Paths
from allears.storage.files import storage_error, write_text

REASON = "withdrawn"
MESSAGE = "it was withdrawn from this corpus, and still lies among the files of its source: delete it there"
_TOUCH_S = 1e-3  # pieces of a file meet, and do not overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """One withdrawn clip: the bytes of its file and the span in it, and its decoded audio (None: it was not decoded).

    `row` names the line of the corpus that it was all of, and its file as it lay then: while both are the same, the
    line is not even taken over from the corpus's tables.
    """

    file_sha256: str
    channel: int | None
    start_s: float
    end_s: float
    pcm_sha256: str | None
    row: str | None
    why: str
    when: str

    def covers(self, channel: int | None, start_s: float, end_s: float) -> bool:
        """Whether a span of the same file holds any of it."""
        same = self.channel is None or channel is None or self.channel == channel
        return same and start_s < self.end_s - _TOUCH_S and end_s > self.start_s + _TOUCH_S


def tombstones_file(paths: Paths) -> Path:
    """Where a corpus's tombstones lie."""
    return paths.raw / "withdrawn.jsonl"


def read_tombstones(paths: Paths) -> list[Tombstone]:
    """All tombstones. StorageError for a damaged line: nothing may come back unseen."""
    file = tombstones_file(paths)
    if not file.exists():
        return []
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise storage_error(file, error) from error
    try:
        return [Tombstone(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise StorageError(f"{file} has a line that is no tombstone ({error}); restore the file from a copy") from error


def add_tombstones(paths: Paths, new: Sequence[Tombstone]) -> None:
    """Write those that are not there yet behind the others."""
    known = read_tombstones(paths)
    there = {_what(one) for one in known}
    added = [one for one in new if _what(one) not in there]
    if added:
        write_text(tombstones_file(paths), "".join(json.dumps(asdict(one)) + "\n" for one in [*known, *added]))


class Refused:
    """Looks rows and clips up among tombstones."""

    def __init__(self, tombstones: Iterable[Tombstone] = ()) -> None:
        self._by_file: dict[str, list[Tombstone]] = {}
        self.rows: set[str] = set()
        self.pcm: set[str] = set()
        for one in tombstones:
            if one.file_sha256:  # a file that was never read has none
                self._by_file.setdefault(one.file_sha256, []).append(one)
            self.rows |= {one.row} if one.row else set()
            self.pcm |= {one.pcm_sha256} if one.pcm_sha256 else set()

    def clip(self, file_sha256: str, channel: int | None, start_s: float, end_s: float) -> bool:
        """Whether a piece of a file of these bytes was withdrawn."""
        return any(one.covers(channel, start_s, end_s) for one in self._by_file.get(file_sha256, ()))

    def blank(self, listing: pd.DataFrame) -> pd.DataFrame:
        """The listing without what its withdrawn lines say: they keep their source and get the reason `withdrawn`."""
        if not self.rows:
            return listing
        columns = ("source", "name", "root", "path", "channel", "start_s", "end_s", "member")
        rows = listing[list(columns)].astype(object).where(listing[list(columns)].notna(), None)
        gone = [
            reason is pd.NA and row_digest(*values) in self.rows
            for reason, values in zip(listing["reason"], rows.itertuples(index=False, name=None), strict=True)
        ]
        table = listing.copy()
        table.loc[gone, [name for name in table.columns if name not in ("source", "root", "licence_of_source")]] = None
        table.loc[gone, "reason"] = REASON
        table.loc[gone, "message"] = MESSAGE
        return table


def row_digest(
    source: str, name: str, root: str, path: str, channel: int | None, start_s: float | None, end_s: float | None,
    member: str | None,
) -> str | None:  # fmt: skip
    """Names a line of a corpus and its file as it lies there now (size and time); None when the file is gone."""
    try:
        stat = (Path(root) / path).stat()
    except OSError:
        return None
    line = clip_id(source, name, path, channel, start_s, end_s, member)
    return hashlib.sha256(f"{line}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()


def _what(one: Tombstone) -> tuple[object, ...]:
    return one.file_sha256, one.channel, one.start_s, one.end_s, one.pcm_sha256, one.row
