"""Channels that a corpus names, compared with those that its recordings have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from allears.corpus.clips import Recording, recording_at
from allears.corpus.probe import Probed
from allears.corpus.segment import TABLE_SLACK_S
from allears.params.ingest import ChannelChoice
from allears.storage.tables import records


@dataclass(slots=True)
class Channels:
    """Doubts (reason and message) by recording and whether a row names its channel.

    `mixed`: recordings whose channels are mixed, unasked, although several people speak in them, in turns, or
    probably do: different words are said at the same time, and it is unknown by whom. `unclear`: those that are mixed
    because all clips name the same number, which may count from 0 or from 1.
    """

    doubts: dict[tuple[Recording, bool], tuple[str, str]] = field(default_factory=dict)
    mixed: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


_FILE = ["root", "path", "member"]
_REMEDY = (
    "name the channel of each (a fifth column of Kaldi's segments, reco2file_and_channel, a column 'channel'), or "
    "decide for all: ingest.channels=split makes a clip of each channel, ingest.channels=mix takes their mean"
)


def channels_meant(listing: pd.DataFrame, facts: Mapping[Recording, Probed]) -> pd.DataFrame:
    """Return the listing with the channels that its sides mean in these recordings.

    A recording of one channel is that side. Numbers that are each recording's number of channels count them.
    """
    rows = listing.loc[listing["side"].notna() & listing["reason"].isna()]
    if rows.empty:
        return listing
    channels = pd.Series([_channels(row, facts) for row in records(rows[_FILE])], index=rows.index, dtype="Int64")
    numbers = rows["side"].str.isdigit()
    differs = rows["side"].where(numbers) != channels.astype("string")
    counted = numbers & ~differs.fillna(value=False).groupby(rows["source"]).transform("any")
    listing = listing.copy()
    listing.loc[rows.index[(channels <= 1).fillna(value=True) | counted], "channel"] = pd.NA
    return listing


def check_channels(listing: pd.DataFrame, facts: Mapping[Recording, Probed], choice: ChannelChoice) -> Channels:
    """Compare the channels that rows name, or do not, with those of their recordings.

    Where a line names a channel that its recording lacks, the corpus probably counts from 1, so no line about that
    recording is believed. Where different speakers talk at the same time and no channel is named, a mix would be given
    the words of one of them: that is for a person to decide (`choice`).
    """
    found = Channels()
    usable = listing[listing["reason"].isna()]
    for row in records(usable.loc[usable["channel"].notna(), [*_FILE, "channel"]].drop_duplicates()):
        has = _channels(row, facts)
        if 0 < has <= row["channel"]:
            why = f"it has no channel {row['channel']}: it has {has}, counted from 0"
            message = f"{_shown(row)}: {why}; a corpus that counts from 1 means others by its other numbers too"
            found.doubts[_recording(row), True] = "no_such_channel", message
    if choice != "auto":
        return found
    found.unclear += _unclear(usable, facts)
    for recording, rows in _unnamed(usable, facts):
        if overlap := _overlap(rows, "speaker"):
            why = f"it has {_channels(rows[0], facts)} channels, none is named, and different speakers talk at once"
            message = f"{_shown(rows[0])}: {why} ({overlap}): {_REMEDY}"
            found.doubts[recording, False] = "channel_unknown", message
            continue
        speakers = {row["speaker"] for row in rows}
        if len(speakers - {None}) > 1 or (None in speakers and _overlap(rows, "text")):
            found.mixed.append(_shown(rows[0]))
    return found


def _unclear(usable: pd.DataFrame, facts: Mapping[Recording, Probed]) -> list[str]:
    """Return the recordings of several channels with a number that names none of them for sure."""
    numbers = usable["side"].str.isdigit().fillna(value=False) & usable["channel"].isna()
    rows = records(usable.loc[numbers, [*_FILE, "side"]].drop_duplicates())
    return [_shown(row) for row in rows if (has := _channels(row, facts)) > 1 and row["side"] != str(has)]


def _unnamed(
    usable: pd.DataFrame, facts: Mapping[Recording, Probed]
) -> Iterator[tuple[Recording, list[dict[str, Any]]]]:
    """Recordings of several channels and rows of which some name no channel, with their rows."""
    if not any(each.channels > 1 for each in facts.values()):
        return
    several = usable.loc[
        usable.duplicated(_FILE, keep=False), [*_FILE, "channel", "start_s", "end_s", "speaker", "text"]
    ]
    rows_of: dict[Recording, list[dict[str, Any]]] = {}
    for row in records(several):
        rows_of.setdefault(_recording(row), []).append(row)
    for recording, rows in rows_of.items():
        if facts[recording].channels > 1 and any(row["channel"] is None for row in rows):
            yield recording, rows


def _overlap(rows: list[dict[str, Any]], by: str) -> str | None:
    """Name two rows that overlap and differ in what is known of `by`, one of them without a channel; None for none."""
    spans = sorted(((*_bounds(row), row) for row in rows if row[by] is not None), key=lambda span: span[:2])
    open_spans: list[tuple[float, float, dict[str, Any]]] = []
    for start, end, row in spans:
        open_spans = [each for each in open_spans if each[1] - start > TABLE_SLACK_S]
        for before in open_spans if end - start > TABLE_SLACK_S else ():
            if before[2][by] != row[by] and None in (before[2]["channel"], row["channel"]):
                return f"one from {before[0]:g} s, another from {start:g} s"
        open_spans.append((start, end, row))
    return None


def _bounds(row: dict[str, Any]) -> tuple[float, float]:
    end = row["end_s"]
    return row["start_s"] or 0.0, float("inf") if end is None or end < 0 else end


def _channels(row: dict[str, Any], facts: Mapping[Recording, Probed]) -> int:
    """Return how many channels a row's recording has, 0 for one that cannot be read."""
    probed = facts[_recording(row)]
    return 0 if probed.reason is not None else probed.channels


def _recording(row: dict[str, Any]) -> Recording:
    return recording_at(row["root"], row["path"], row["member"])


def _shown(row: dict[str, Any]) -> str:
    return row["path"] if row["member"] is None else f"{row['path']}, {row['member']}"
