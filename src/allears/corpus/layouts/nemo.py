"""NeMo manifests: a JSON object a line with `audio_filepath duration text [offset lang …]`, often in a file `.json`.

Paths are relative to the manifest, or absolute. With an `offset`, the clip is `duration` long (null or −1: to the end
of the file). Without, NeMo reads the first `duration` seconds; most manifests mean the whole file, whose duration they
round, so `corpus.segment` compares the two. `channel_selector` counts from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Asked, Columns, ahead, clean, match_columns, row_from, text_of
from allears.corpus.layouts.files import relative, split_in, subfolders
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.spans import TO_THE_END, from_duration, seconds
from allears.corpus.layouts.tables import Broken, first_object, read_json_lines

_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
REQUIRED = ("audio_filepath",)
KNOWN = (*REQUIRED, "duration", "offset", "text", "lang", "speaker")
ABOUT = About(
    needs="manifest (.json or .jsonl, a line an object with audio_filepath)",
    absolute=True,
    free_columns=True,
    required=REQUIRED,
    known=KNOWN,
)
_USUAL = ("audio_filepath", "text", "lang", "speaker")
_CHANNEL = "channel_selector"
_OF_AUDIO = ("duration", "offset", _CHANNEL)  # which part of a file a line is about
_LOOKED_AT = 200  # files, to know the layout; and lines of each, to know the label
_SHOWN = 8  # names
_NOT = "metadata.jsonl"  # AudioFolder's name


def manifests(root: Path) -> list[Path]:
    """All manifests in `root`, else in its folders, where one of the first 200 files that end like one is one."""
    for folders in ([root], subfolders(root)):
        likely = [file for folder in folders for file in sorted(folder.iterdir()) if _likely(file)]
        if found := [file for file in likely[:_LOOKED_AT] if _is_manifest(file)]:
            return found + [file for file in likely[_LOOKED_AT:] if _is_manifest(file)]
    return []


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = [relative(file, root) for file in manifests(root)]
    names = ", ".join(found[:_SHOWN]) + (f" … ({len(found)} manifests)" if len(found) > _SHOWN else "")
    return f"there is {names} with an audio_filepath a line" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the keys of the first lines as columns. Raises CorpusError when the label asked for is none of them."""
    looked_at = manifests(root)[:_LOOKED_AT]
    lines = (line for file in looked_at for _, line in islice(read_json_lines(file), _LOOKED_AT))
    names = dict.fromkeys(name for line in lines if isinstance(line, dict) for name in line if name not in _OF_AUDIO)
    return match_columns(names | dict.fromkeys(_USUAL), asked, f"{root} (its manifests)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line; a second line about the same piece of a file is a reject."""
    columns = columns_of(root, asked)
    seen: set[tuple[Any, ...]] = set()
    for where, file, record in _records(root):
        item = _row(root, file, where, record, columns)
        if isinstance(item, Row):
            piece = (item.path, item.side, item.channel, item.start_s, item.end_s)
            if piece in seen:
                message = f"{where}: this piece of {item.path} was described before; the first counts"
                item = Reject(name=where, path=item.path, reason="duplicate_id", message=message)
            seen.add(piece)
        yield item


def _records(root: Path) -> Iterator[tuple[str, Path, dict[str, Any] | Broken]]:
    for file in manifests(root):
        for number, record in read_json_lines(file):
            yield f"{relative(file, root)} line {number}", file, record


def _row(root: Path, file: Path, where: str, record: dict[str, Any] | Broken, columns: Columns) -> Row | Reject:
    given = None if isinstance(record, Broken) else record.pop("audio_filepath", None)
    if isinstance(record, Broken) or not isinstance(given, str) or not given:
        why = record.why if isinstance(record, Broken) else "its audio_filepath is not one path"
        return Reject(name=where, path="", reason="malformed_line", message=f"{where}: {why}")
    path = relative(file.parent / given, root)
    duration, times = record.get("duration"), _times(record)
    channel = _channel(record)
    if isinstance(times, str):
        return Reject(name=where, path=path, reason="bad_segment", message=f"{where}: {times}")
    if isinstance(channel, str):
        return Reject(name=where, path=path, reason="multi_channel", message=f"{where}: {channel}")
    own = {"audio_filepath": path} | ({} if times[0] is not None else {"duration": duration})
    known = ahead(own, record)
    row = replace(row_from(known, columns), name=path, channel=channel, start_s=times[0], end_s=times[1])
    split = row.split or split_in(file.name.partition(".")[0])
    return replace(row, split=split, side=row.side if channel is None else None)


def _times(record: dict[str, Any]) -> tuple[float | None, float | None] | str:
    """Take start and end out of a line, as in `Row`; or why they are none."""
    duration, offset = record.pop("duration", None), record.pop("offset", None)
    if clean(offset) is not None:
        found = from_duration(offset, duration, open_end=True)
        return (None, None) if found == (0.0, TO_THE_END) else found
    try:
        duration_s = seconds(duration)
    except ValueError:
        duration_s = None
    return None, duration_s if duration_s is not None and duration_s > 0 else None


def _channel(record: dict[str, Any]) -> int | str | None:
    """Return the channel that a line selects (None: the mean of all), or why it is not one."""
    given = record.get(_CHANNEL)
    word = text_of(given[0] if isinstance(given, list) and len(given) == 1 else given)
    if word in (None, "", "average"):
        return None
    if word.isascii() and word.isdigit():
        return int(word)
    return f"its {_CHANNEL} is {word}: give the number of one channel, from 0, or none for the mean of all"


def _likely(file: Path) -> bool:
    return file.name.lower().endswith(_ENDINGS) and file.name != _NOT and file.is_file()


def _is_manifest(file: Path) -> bool:
    return set(REQUIRED) <= set(first_object(file))
