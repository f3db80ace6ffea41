"""Deliveries: what a corpus lists now, laid over what it held before. A pure function of the two.

A clip that is known keeps its id and its place; what is new comes behind it, as a delivery of its own; what is no
longer listed leaves, and its place stays empty. So a clip's tar, which follows from its place, never changes.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.corpus.manifest import Manifest
from allears.params.base import Paths
from allears.storage.files import read_json
from allears.storage.tables import write_parquet

_CONTENT = ("file_sha256", "channel", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Before:
    """The manifest that is there, in memory: its rows, and the seconds of each of its deliveries as it came.

    `carved` is the split of every group that was ever given one here, by `group_name`.
    """

    clips: pd.DataFrame
    deliveries: tuple[float, ...]
    carved: Mapping[str, str] = field(default_factory=dict)


def manifest_of(paths: Paths) -> Manifest | None:
    """The handle on the manifest of a corpus, or None before the first ingest."""
    file = paths.intermediate / "manifest.json"
    return Manifest.from_json(read_json(file)) if file.exists() else None


def before_of(paths: Paths) -> Before | None:
    """What is there of a corpus; a manifest of an allears that knew no deliveries is one delivery."""
    manifest = manifest_of(paths)
    if manifest is None:
        return None
    clips = manifest.frame()
    if "delivery" not in clips:
        clips = clips.assign(delivery=0, place_s=_starts(clips), listed_as=pd.array([None] * len(clips), "string"))
    file = _carved_file(paths)
    table = pd.read_parquet(file) if file.exists() else pd.DataFrame({"group": [], "split": []})
    carved = dict(zip(table["group"], table["split"], strict=True))
    return Before(clips, manifest.deliveries or seconds_of(clips), carved)


def keep_carved(paths: Paths, before: Before | None, clips: pd.DataFrame) -> None:
    """Note the splits that were carved for the groups of `clips`: a group that leaves and returns has its own again.

    Groups are noted as `group_name`, so that nobody's name stays behind.
    """
    new = clips[clips["split_origin"] == "carved"].drop_duplicates("group")
    names = dict(before.carved) if before else {}
    names |= {group_name(group): split for group, split in zip(new["group"], new["split"], strict=True)}
    table = pd.DataFrame(sorted(names.items()), columns=["group", "split"]).astype("string")
    write_parquet(_carved_file(paths), table)


def group_name(group: str) -> str:
    """The first 64 bits of the sha256 of a group's name, hexadecimal."""
    return hashlib.sha256(group.encode()).hexdigest()[:16]


def _carved_file(paths: Paths) -> Path:
    return paths.intermediate / "carved.parquet"


def join(before: Before | None, listed: pd.DataFrame) -> pd.DataFrame:
    """The rows of `listed`, whose `clip` is the id by where it lies, with ids to stay and PLACES, in lasting order.

    Known is what has the same id, else, if its path is gone, the same content (bytes, channel, span): it was moved or
    renamed. A known clip of other bytes is a new version of it, at its place.
    """
    if before is None:
        row_N = np.full(len(listed), -1, dtype=np.int64)
        ids: list[str] = listed["clip"].tolist()
        delivery_N, place_N = np.zeros(len(listed), dtype=np.int64), _starts(listed)
    else:
        row_N = _rows(before.clips, listed)
        known_N = row_N >= 0
        kept = before.clips.iloc[row_N[known_N]]
        ids = _ids(listed["clip"], known_N, kept["clip"])
        delivery_N = np.full(len(listed), len(before.deliveries), dtype=np.int64)
        place_N = np.zeros(len(listed))
        delivery_N[known_N], place_N[known_N] = kept["delivery"], kept["place_s"]
        place_N[~known_N] = _starts(listed[~known_N])
    moved_N = listed["clip"].to_numpy(dtype=object) != np.array(ids, dtype=object)
    table = listed.assign(
        clip=pd.array(ids, "string"),
        delivery=delivery_N,
        place_s=place_N,
        listed_as=listed["clip"].astype("string").where(moved_N),
    )
    order_N = np.argsort(np.where(row_N < 0, np.iinfo(np.int64).max, row_N), kind="stable")
    return table.iloc[order_N].reset_index(drop=True)


def seconds_of(clips: pd.DataFrame, earlier: tuple[float, ...] = ()) -> tuple[float, ...]:
    """Seconds of each delivery: those that were known, then those of what is new in `clips`."""
    if clips.empty:
        return earlier
    ends = (clips["place_s"] + clips["end_s"] - clips["start_s"]).groupby(clips["delivery"]).max()
    count = max(len(earlier), int(ends.index.max()) + 1)
    return tuple(earlier[i] if i < len(earlier) else float(ends.get(i, 0.0)) for i in range(count))


def splits_so_far(before: Before | None, clips: pd.DataFrame) -> dict[str, str]:
    """Group → the split where it stays, for `splits.carve`: of every group that is or was there.

    Where the corpus itself gave a group's split and gives one again, what it gives now counts.
    """
    if before is None:
        return {}
    was = before.clips
    given_now = set(clips.loc[clips["split"].notna(), "group"])
    lasting = was[(was["split_origin"] == "carved") | ~was["group"].isin(given_now)]
    known: dict[str, str] = dict(zip(lasting["group"], lasting["split"], strict=True))
    by_clip = dict(zip(lasting["clip"], lasting["split"], strict=True))
    for clip, group in zip(clips["clip"], clips["group"], strict=True):  # a recording's group goes by its path
        if group not in known and clip in by_clip and group not in given_now:
            known[group] = by_clip[clip]
        elif group not in known and group not in given_now and (split := before.carved.get(group_name(group))):
            known[group] = split
    return known


def _starts(clips: pd.DataFrame) -> NDArray[np.float64]:
    seconds_N = (clips["end_s"] - clips["start_s"]).to_numpy(dtype=np.float64)
    return np.asarray(np.cumsum(seconds_N) - seconds_N, dtype=np.float64)


def _rows(was: pd.DataFrame, listed: pd.DataFrame) -> NDArray[np.int64]:
    """The row of `was` that each listed clip is, or -1."""
    now_at = pd.Index(was["listed_as"].fillna(was["clip"]))
    row_N = np.asarray(now_at.get_indexer(pd.Index(listed["clip"])), dtype=np.int64)
    left = np.ones(len(was), dtype=bool)
    left[row_N[row_N >= 0]] = False
    waiting: dict[Hashable, deque[int]] = {}
    gone = np.flatnonzero(left)
    for row, content in zip(gone.tolist(), _contents(was.iloc[gone]), strict=True):
        waiting.setdefault(content, deque()).append(row)
    new = np.flatnonzero(row_N < 0)
    for place, content in zip(new.tolist(), _contents(listed.iloc[new]), strict=True):
        if waiting.get(content):
            row_N[place] = waiting[content].popleft()
    return row_N


def _contents(clips: pd.DataFrame) -> list[Hashable]:
    columns: list[Any] = [clips[name].fillna(-1) if name == "channel" else clips[name] for name in _CONTENT]
    return list(zip(*columns, strict=True))


def _ids(natural: pd.Series[str], known_N: NDArray[np.bool_], kept: pd.Series[str]) -> list[str]:
    """Known clips keep theirs; a new one whose own is taken by one that moved away gets another."""
    ids = natural.to_numpy(dtype=object).copy()
    ids[known_N] = kept.to_numpy(dtype=object)
    taken = set(ids[known_N])
    for place in np.flatnonzero(~known_N).tolist():
        ids[place] = _free(ids[place], taken)
    return [str(one) for one in ids]


def _free(clip: str, taken: Container[str]) -> str:
    found = clip
    while found in taken:
        stem, _, _ = found.rpartition("-")
        found = f"{stem}-{hashlib.sha256(found.encode()).hexdigest()[:10]}"
    return found
