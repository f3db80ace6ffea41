"""The listing: what a corpus says of itself, a row a clip or unusable line, before any recording is read."""

from __future__ import annotations

import hashlib
import heapq
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from allears.corpus.clips import Recording, recording_at
from allears.corpus.layouts.detect import check_present, detect, note_unread
from allears.corpus.layouts.files import audio_in, shown, walk_audio
from allears.corpus.layouts.read import check_columns, explain_columns, read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.corpus.layouts.sides import settle_sides
from allears.corpus.layouts.split_folders import SplitFolders, called_like_splits
from allears.corpus.mirror import REASON, mirror_of, named, reflect
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.corpus import BY_NAME, ColumnNames, CorpusSettings, Layout, SourceSettings, Walked
from allears.storage.portable import portable_text
from allears.storage.tables import records

TEXT_COLUMNS = (
    "source", "root", "licence_of_source", "name", "path", "member", "side", "text", "label", "language", "accent",
    "gender", "age", "speaker", "session", "licence", "split", "attributes", "reason", "message",
)  # fmt: skip
_WALKED = get_args(Walked)
_WITHOUT_OTHER_TABLES = (*_WALKED, "audiofolder")  # layouts whose other tables are not read
ELSEWHERE = ("/", "../")  # begin paths of files that do not lie below their source's folder
COLUMNS = (*TEXT_COLUMNS[:7], "channel", "start_s", "end_s", *TEXT_COLUMNS[7:])
_of_row = attrgetter(*(field.name for field in fields(Row) if field.name != "attributes"))  # in the order of COLUMNS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source whose layout is settled; `why` says how.

    `url`: of a bucket, for which `root` stands here; `refused`: keys in it that can be no files, and why.
    """

    name: str
    root: Path
    layout: Layout
    why: str
    licence: str
    label: str | None
    columns: ColumnNames = BY_NAME
    url: str | None = None
    refused: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores of it."""
        return {
            "name": self.name, "root": str(self.root), "layout": self.layout, "why": self.why, "licence": self.licence,
            "label": self.label, "columns": dict(self.columns.given()), "url": self.url,
            "refused": [list(one) for one in self.refused],
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Source:
        """The source again."""
        refused = tuple((str(key), str(why)) for key, why in value.get("refused", ()))
        columns = ColumnNames.model_validate(value.get("columns", {}))
        return cls(**(value | {"root": Path(value["root"]), "columns": columns, "refused": refused}))


def resolve(settings: CorpusSettings, paths: Paths) -> list[Source]:
    """Settle the layout of every source; those in buckets are listed, and what their layouts are read from is fetched.

    Raises CorpusError for a folder that is gone, empty or ambiguous; of a bucket, as `mirror.reflect`.
    """
    sources = []
    for source in settings.sources:
        mirror = mirror_of(paths, source)
        refused = [] if mirror is None else reflect(mirror)
        root = Path(source.path) if mirror is None else mirror.folder
        if not root.is_dir():
            raise CorpusError(
                f"{root.absolute()}, source '{source.name}' of corpus '{settings.corpus}', is gone: put it back, or "
                "add it again with ingest.path where it lies now"
            )
        with named(mirror):
            layout, why = _layout(root, source)
            why = shown(f"{why}; {explain_columns(root, layout, settings.label, settings.columns)}")
        sources.append(
            Source(
                name=source.name, root=root, layout=layout, why=why, licence=source.licence, label=settings.label,
                columns=settings.columns, url=mirror.url if mirror else None,
                refused=tuple((one.key, one.why) for one in refused),
            )
        )  # fmt: skip
    check_columns(((source.root, source.layout) for source in sources), settings.columns)
    return sources


def _layout(root: Path, source: SourceSettings) -> tuple[Layout, str]:
    if source.layout is None:
        found = detect(root)
        layout, why = found.layout, found.why
    else:
        check_present(root, source.layout)
        layout, why = source.layout, "as asked for"
    noted = source.layout is None and layout != "audiofolder"  # in `why`
    if layout in _WITHOUT_OTHER_TABLES and not noted and (unread := note_unread(root, layout)):
        logger.warning("source %s: %s", source.name, shown(unread))
    return layout, why


def read_listing(sources: Iterable[Source], limit: int | None) -> pd.DataFrame:
    """Read all sources into one table with COLUMNS; rejects carry a reason.

    `limit` keeps that many rows, drawn by the hash of their names: a first look at the whole corpus, not at its start.
    """
    sources = list(sources)
    folders = {source.name: SplitFolders() for source in sources}
    rows = (record for source in sources for record in _records(source, folders[source.name]))
    kept = list(rows) if limit is None else heapq.nsmallest(limit, rows, key=_draw)
    table = pd.DataFrame(kept, columns=list(COLUMNS))
    if table.empty:
        roots = ", ".join(str(source.root) for source in sources)
        raise CorpusError(f"{roots}: the layout's tables describe no recording; check that they are not empty")
    types = dict.fromkeys(TEXT_COLUMNS, "string") | {"channel": "Int64", "start_s": "float64", "end_s": "float64"}
    return settle_sides(_with_splits(table.astype(types), folders))


def _with_splits(listing: pd.DataFrame, folders: Mapping[str, SplitFolders]) -> pd.DataFrame:
    """The listing with the splits that the folders of a source name, where its tables tell none."""
    for source, splits in folders.items():
        usable = (listing["source"] == source) & listing["reason"].isna()
        untold = usable & listing["split"].isna()
        unused = (
            called_like_splits(listing.loc[usable, "path"]) if splits.level is None and untold.equals(usable) else ()
        )
        if unused:
            logger.warning(
                "source %s: its folders %s are called like splits, but not all recordings lie in such folders: no "
                "folder counts as a split; move the others away, or name each clip's split in a column",
                source, ", ".join(map(shown, unused)),
            )  # fmt: skip
        if splits.level is not None and untold.any():
            found = listing.loc[untold, "path"].map(splits.split_of).astype("string")
            listing.loc[untold, "split"] = found
            counts = ", ".join(f"{count} {split}" for split, count in found.value_counts().items())
            logger.info("source %s: its folders are the splits of the clips (%s)", source, counts)
    return listing


def unlisted(sources: Iterable[Source], listing: pd.DataFrame) -> Iterator[tuple[Source, int, int]]:
    """How many recordings no line speaks of, below a described source, and elsewhere in the folders of those that it
    names there (they are not used, and that is said).
    """
    for source in sources:
        if source.layout not in _WALKED:
            rows = listing[listing["source"] == source.name]
            named = set(rows["path"].dropna())
            used = rows.loc[rows["reason"].isna(), "path"]
            folders = {path.rpartition("/")[0] for path in used if path.startswith(ELSEWHERE)}
            found = {f"{folder}/{name}" for folder in folders for name in audio_in(source.root / folder)}
            beside = len(found - named)
            yield source, sum(path not in named for path in walk_audio(source.root)), beside


def recordings_of(listing: pd.DataFrame) -> list[Recording]:
    """What the rows of a listing are cut from, each once, in one order."""
    rows = listing[["root", "path", "member"]].drop_duplicates().sort_values(["root", "path", "member"])
    return [recording_at(row["root"], row["path"], row["member"]) for row in records(rows)]


def _records(source: Source, folders: SplitFolders) -> Iterator[tuple[Any, ...]]:
    """What COLUMNS name, of each row and reject."""
    common = (source.name, str(source.root), source.licence)
    nothing = (None,) * (len(COLUMNS) - 7)
    for key, why in source.refused:
        yield (*common, key, key, *nothing, REASON, why)
    # Tables may name files by their whole paths: those below the source's folder count from there.
    whole, anywhere = source.root.absolute(), source.url is None
    movable = not source.root.is_absolute() and whole.resolve() == whole  # `..` after a link would lead elsewhere
    for item in read_rows(whole, source.layout, source.label, anywhere=anywhere, columns=source.columns):
        if isinstance(item, Reject):
            yield (*common, item.name, item.path, *nothing, item.reason, item.message)
        else:
            row = item
            if movable and item.path.startswith("/"):
                row = replace(item, path=_below_project(item.path, source.root))
            folders.see(row.path)
            attributes = json.dumps(row.attributes, ensure_ascii=False, sort_keys=True) if row.attributes else None
            yield (*common, *_of_row(row), attributes, None, None)


def _below_project(path: str, root: Path) -> str:
    """Return an absolute path of the corpus's own tables as `root`, which lies in the project, sees it if both do."""
    inside = portable_text(path)
    return path if inside.startswith("/") else os.path.relpath(inside, root)


def _draw(record: tuple[Any, ...]) -> bytes:
    source, _, _, name, path, *_ = record
    return hashlib.blake2b(f"{source}\0{name}\0{path}".encode(), digest_size=16).digest()
