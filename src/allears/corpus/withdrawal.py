"""What a withdrawal takes out of a corpus: found in every version that is kept, written down before anything is done.

The note (`data/02_intermediate/<corpus>/withdrawal.json`) names all that must go, so that whatever a kill interrupts,
the next command finishes; it is the last thing that is removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.corpus import mirror, versions
from allears.corpus.clips import clip_id
from allears.corpus.deliveries import manifest_of
from allears.corpus.manifest import Manifest
from allears.corpus.withdrawn import Refused, Tombstone, row_digest
from allears.errors import CorpusError, nearest
from allears.params.base import Paths
from allears.storage.bucket import is_url
from allears.storage.files import read_json, write_json
from allears.storage.portable import portable, portable_text

Kind = Literal["speaker", "clip", "file"]
_ROW = ("source", "name", "root", "path", "channel", "start_s", "end_s", "member")
_COLUMNS = (
    "clip", "source", "root", "path", "member", "channel", "start_s", "end_s", "file_sha256", "file_bytes",
    "file_duration_s", "speaker", "group",
)  # fmt: skip
_SPAN = ("channel", "start_s", "end_s")
_FILE = ("source", "path", "member")
TO_THE_END_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """All that goes.

    `files`: recordings of which nothing stays, as [root, path, member]; `groups`: groups of which nothing stays;
    `lines`: ids of the corpus's lines that spoke of them alone; `versions`: digest → clips taken out of it; `pcm`:
    digests of decoded audio; `shards`: digests of shards that held any → clips; `tar_keys`: tars to write again;
    `heard`: what had trained on it; `hints`: where else it may be; `uid` names the run in MLflow.
    """

    corpus: str
    clips: tuple[str, ...]
    files: tuple[tuple[str, str, str | None], ...]
    groups: tuple[str, ...]
    seconds: float
    tombstones: tuple[dict[str, Any], ...]
    lines: tuple[str, ...]
    versions: dict[str, int]
    uid: str
    pcm: tuple[str, ...] = ()
    shards: dict[str, int] = field(default_factory=dict)
    tar_keys: dict[str, str] = field(default_factory=dict)
    shards_were_fresh: bool = False
    heard: tuple[dict[str, Any], ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def paths(self) -> set[str]:
        """Paths of the files of which nothing stays, relative to the project where they lie in it."""
        return {str(Path(root) / path) for root, path, member in self.files if member is None}


def note_file(paths: Paths) -> Path:
    """Where the note of a withdrawal that is not finished lies."""
    return paths.intermediate / "withdrawal.json"


def read_note(paths: Paths) -> Withdrawal | None:
    """A withdrawal that was begun and is not finished."""
    file = note_file(paths)
    if not file.exists():
        return None
    value = read_json(file)
    lists = ("clips", "groups", "tombstones", "lines", "pcm", "heard", "hints")
    fixed = {name: tuple(value[name]) for name in lists} | {"files": tuple(tuple(one) for one in value["files"])}
    return Withdrawal(**(value | fixed))


def write_note(paths: Paths, withdrawal: Withdrawal) -> None:
    """Write it down."""
    write_json(note_file(paths), asdict(withdrawal))


def rows_ever(paths: Paths) -> pd.DataFrame:
    """The rows of all versions that are kept, each once; those of the current one come first."""
    now = manifest_of(paths)
    if now is None:
        raise CorpusError(f"corpus '{paths.corpus}' has nothing to withdraw from: it was never ingested")
    parts = list(dict.fromkeys([*now.parts, *(part for one in versions.all_versions(paths) for part in one.parts)]))
    handle = Manifest(now.folder, tuple(part for part in parts if (now.folder / part).exists()), 0, "")
    return handle.frame(_COLUMNS).drop_duplicates(["clip", "file_sha256", "start_s", "end_s", "path"])


def rows_unused(listing: pd.DataFrame, headers: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Lines of the listing that no clip was made of (they are in the quarantine), as rows like those of `rows_ever`."""
    used = set(_values(rows, _FILE))
    unused = [one not in used and one[1] is not None for one in _values(listing, _FILE)]
    table = listing[unused]
    sha = dict(zip(_values(headers, ("file", "member")), headers["sha256"].fillna(""), strict=True))
    bounds = [_bounds(*values) for values in _values(table, ("start_s", "end_s"))]
    return table[["source", "root", "path", "member", "channel", "speaker"]].assign(
        clip=pd.array(line_ids(table), "string"),
        start_s=[start for start, _ in bounds],
        end_s=[end for _, end in bounds],
        file_sha256=[
            sha.get((str(Path(root) / path), member), "")
            for root, path, member in _values(table, ("root", "path", "member"))
        ],
        file_bytes=None,
        file_duration_s=TO_THE_END_S,
        group=None,
    )[list(_COLUMNS)]


def choose(
    rows: pd.DataFrame, kind: Kind, name: str, source: str | None, corpus: str, *, before: bool = False
) -> pd.DataFrame:
    """The rows that `name` means. CorpusError when it means none, or something in several sources; `before`: something
    was withdrawn before, and it may be this.
    """
    match kind:
        case "clip":
            found = rows[rows["clip"] == name]
        case "speaker":  # the sides of a call have none, but are of a group
            found = rows[(rows["speaker"] == name) | (rows["group"] == rows["source"] + f"/speaker/{name}")]
        case "file":
            asked = name if is_url(name) else str(portable(Path(name).expanduser()))
            called = mirror.addresses() if is_url(name) else str
            places = zip(rows["root"], rows["path"], strict=True)
            files = (Path(portable_text(os.path.normpath(Path(root, path)))) for root, path in places)  # may have ../
            whole = [called(file) == asked for file in files]
            found = rows[(rows["path"] == name).to_numpy(dtype=bool) | np.array(whole)]
    if source is not None:
        found = found[found["source"] == source]
    sources = sorted(found["source"].unique())
    if len(sources) > 1 and kind != "clip":
        raise CorpusError(
            f"corpus '{corpus}': {kind} '{name}' is in {len(sources)} sources ({', '.join(sources)}), and names count "
            "within a source: say which with --source"
        )
    if found.empty:
        known = rows[{"speaker": "speaker", "clip": "clip", "file": "path"}[kind]].dropna().unique()
        where = f" of source '{source}'" if source else ""
        already = " It may be withdrawn already: then no name of it is left here." if before else ""
        raise CorpusError(f"corpus '{corpus}' has no {kind} '{name}'{where}{nearest(name, known) or '.'}{already}")
    return found


def with_the_same_audio(rows: pd.DataFrame, chosen: pd.DataFrame, pcm: dict[str, str]) -> pd.DataFrame:
    """`chosen` and every other row of the same bytes and span, or that decodes to the same samples (`pcm`: by clip)."""
    refused = Refused(_tombstones(chosen, pcm, {}, "", ""))
    same = [refused.clip(*values) for values in _spans(rows)]
    alike = rows["clip"].map(pcm).isin(list(refused.pcm))
    return rows[np.array(same) | alike.to_numpy(dtype=bool) | rows["clip"].isin(chosen["clip"])]


def plan(
    paths: Paths, rows: pd.DataFrame, gone: pd.DataFrame, chosen: pd.DataFrame, pcm: dict[str, str],
    listing: pd.DataFrame | None, *, why: str, uid: str,
) -> Withdrawal:  # fmt: skip
    """The withdrawal of the rows `gone` of `rows` (as `rows_ever`).

    What was `chosen`, and what sounds the same, is refused from now on; rows that only share some of its seconds (a
    version in which the file was cut otherwise) leave the tables, and nothing else of their seconds is refused.
    """
    heard = {pcm[clip] for clip in chosen["clip"] if clip in pcm}
    refused = gone[gone["clip"].isin(chosen["clip"]) | gone["clip"].map(pcm).isin(list(heard))]
    kept = rows[~rows["clip"].isin(gone["clip"])]
    files = _lost(gone, kept, ("root", "path", "member"))
    groups = sorted(set(gone["group"].dropna()) - set(kept["group"]))
    spoke = None if listing is None else listing[_lost_lines(listing, gone, kept)]
    lines = {} if spoke is None else _lines(spoke, refused)
    when = time.strftime("%Y-%m-%d")
    now = versions.current(paths)
    ids = set(gone["clip"])
    counts = {one.digest: _count(versions.rows_of(paths, one, ["clip"]), ids) for one in versions.all_versions(paths)}
    held = {digest: count for digest, count in counts.items() if count}
    here = gone[gone["clip"].isin(versions.rows_of(paths, now, ["clip"])["clip"])].drop_duplicates("clip")
    return Withdrawal(
        corpus=paths.corpus, clips=tuple(sorted(ids)), files=tuple(files), groups=tuple(groups),
        seconds=float((here["end_s"] - here["start_s"]).sum()),
        tombstones=tuple(asdict(one) for one in _tombstones(refused, pcm, lines, why, when)),
        lines=() if spoke is None else tuple(line_ids(spoke)), versions=held, uid=uid,
        pcm=tuple(sorted({pcm[clip] for clip in ids if clip in pcm})),
    )  # fmt: skip


def _count(rows: pd.DataFrame, clips: set[str]) -> int:
    return int(rows["clip"].isin(list(clips)).sum())


def _tombstones(gone: pd.DataFrame, pcm: dict[str, str], lines: dict[str, str], why: str, when: str) -> list[Tombstone]:
    return [
        Tombstone(
            file_sha256=sha, channel=channel, start_s=start, end_s=end, pcm_sha256=pcm.get(clip), row=lines.get(clip),
            why=why, when=when,
        )
        for clip, (sha, channel, start, end) in zip(gone["clip"], _spans(gone), strict=True)
    ]  # fmt: skip


def _spans(rows: pd.DataFrame) -> Iterable[tuple[str, int | None, float, float]]:
    columns = rows[["file_sha256", "channel", "start_s", "end_s"]].itertuples(index=False, name=None)
    for sha, channel, start, end in columns:
        yield str(sha), None if pd.isna(channel) else int(channel), float(start), float(end)


def _lost(gone: pd.DataFrame, kept: pd.DataFrame, columns: tuple[str, ...]) -> list[Any]:
    """Values of `columns` in `gone` that no row of `kept` has; unknown is None."""
    pairs = [_values(table, columns) for table in (gone, kept)]
    staying = set(pairs[1])
    return [one for one in dict.fromkeys(pairs[0]) if one not in staying]


def _values(table: pd.DataFrame, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    chosen = table[list(columns)].astype(object)
    return list(chosen.where(chosen.notna(), None).itertuples(index=False, name=None))


def _lost_lines(listing: pd.DataFrame, gone: pd.DataFrame, kept: pd.DataFrame) -> NDArray[np.bool_]:
    """Lines of the listing that spoke of withdrawn clips alone, as the manifest's rows tell."""
    of_gone, of_kept = _by_file(gone), _by_file(kept)
    spoken = [(of_gone.get(key, []), of_kept.get(key, [])) for key in _values(listing, _FILE)]
    lines = zip(spoken, _values(listing, _SPAN), strict=True)
    return np.array([bool(_inside(lost, line)) and not _inside(stays, line) for (lost, stays), line in lines], bool)


def _by_file(rows: pd.DataFrame) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Source, path and member → clip, channel, start and end of each row."""
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key, clip in zip(_values(rows, _FILE), _values(rows, ("clip", *_SPAN)), strict=True):
        found.setdefault(key, []).append(clip)
    return found


def _inside(clips: list[tuple[Any, ...]], line: tuple[Any, ...]) -> list[str]:
    """Ids of the clips of a file that a line of the corpus (channel, start, end) speaks of."""
    first, last = _bounds(*line[1:])
    return [
        clip
        for clip, channel, start, end in clips
        if (line[0] is None or channel is None or line[0] == channel) and start < last and end > first
    ]


def line_ids(listing: pd.DataFrame) -> list[str]:
    """The id that each line's clip has by where it lies; empty for a line without a path."""
    return ["" if v[3] is None else clip_id(v[0], v[1], *v[3:]) for v in _values(listing, _ROW)]


def _lines(spoke: pd.DataFrame, gone: pd.DataFrame) -> dict[str, str]:
    """Clip → digest of the corpus's line that it was all of; of several clips of a line the first stands for it."""
    of_file = _by_file(gone)
    by_clip: dict[str, str] = {}
    for values in _values(spoke, _ROW):
        clips = _inside(of_file.get((values[0], values[3], values[7]), []), values[4:7])
        clip = next((one for one in clips if one not in by_clip), None)
        digest = row_digest(*values)
        if digest is not None and clip is not None:
            by_clip[clip] = digest
    return by_clip


def _bounds(start_s: float | None, end_s: float | None) -> tuple[float, float]:
    return start_s or 0.0, TO_THE_END_S if end_s is None or end_s < 0 else end_s
