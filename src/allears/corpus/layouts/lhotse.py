"""Lhotse cuts: `*cuts*.jsonl[.gz]`, a cut a line. What is no piece of one file of this machine is a reject."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Asked, Columns, ahead, match_columns, row_from, text_of
from allears.corpus.layouts.files import is_file, nearest_level, relative, split_in
from allears.corpus.layouts.names import Names
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.spans import from_duration, seconds
from allears.corpus.layouts.tables import Broken, first_object, read_json_lines

ABOUT = About(needs="cuts.jsonl or cuts.jsonl.gz", absolute=True, free_columns=True)
_COLUMNS = ("file_name", "text", "language", "speaker", "gender", "age", "accent", "session", "split", "recording")
_SHOWN = ("text", "language", "speaker", "gender")
_WHOLE_S = 1e-6
_LOOKED_AT = 200  # cuts of each file, for the names of what they say
_WHY = {
    "MixedCut": ("mixed_cut", "it mixes several recordings, which are no clip of one file"),
    "MultiCut": ("multi_cut", "it is several channels at once: give a cut for each"),
    "PaddingCut": ("padding_cut", "it is padding, no recording"),
    "command": ("command", "its source is a command, and allears runs none: decode it to a file"),
    "url": ("url", "its source is a URL: fetch it to a file"),
    "memory": ("memory", "its audio lies in the manifest: save it to a file (CutSet.save_audios)"),
    "transformed": ("transformed", "its recording is changed as it is loaded (speed, volume …): save it to a file"),
    "shar": ("shar", "its audio lies in a Shar folder, which is not read: save it to files (CutSet.save_audios)"),
}


def files(root: Path) -> list[Path]:
    """The files of cuts in `root`, else in its folders."""
    return [file for folder in nearest_level(root, lambda f: bool(_cuts(f)), depth=1) for file in _cuts(folder)]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = ", ".join(relative(file, root) for file in files(root))
    return f"there is {found} of Lhotse" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    lines = (line for file in files(root) for _, line in islice(read_json_lines(file), _LOOKED_AT))
    names = dict.fromkeys(
        name for line in lines if isinstance(line, dict) and _odd(line) is None for name in _said(line)
    )
    return match_columns(dict.fromkeys(_COLUMNS) | names, asked, f"{root} (Lhotse)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a cut; a second cut of one id is a reject."""
    columns = columns_of(root, asked)
    seen: set[str] = set()
    for file in files(root):
        for number, cut in read_json_lines(file):
            where = f"{relative(file, root)} line {number}"
            item = _row(root, file, where, cut, columns)
            if item.name in seen:
                message = f"{where}: {item.name} was there before; the first counts"
                item = Reject(name=item.name, path="", reason="duplicate_id", message=message)
            seen.add(item.name)
            yield item


def _row(root: Path, file: Path, where: str, cut: dict[str, Any] | Broken, columns: Columns) -> Row | Reject:
    if isinstance(cut, Broken):
        return Reject(name=where, path="", reason="malformed_line", message=f"{where}: {cut.why}")
    name = text_of(cut.get("id")) or where
    found = _source(cut)
    if isinstance(found, str):
        reason, why = _WHY.get(found, (found, "it has no recording with the channel that it names"))
        return Reject(name=name, path="", reason=reason, message=f"{where}, '{name}': {why}")
    if (odd := _odd(cut)) is not None:
        return Reject(name=name, path="", reason="malformed_line", message=f"{where}, '{name}': {odd}")
    source, channel = found
    recording = cut["recording"]
    times = from_duration(cut.get("start"), cut.get("duration"), open_end=False)
    if isinstance(times, str):
        return Reject(name=name, path="", reason="bad_segment", message=f"{where}, '{name}': {times}")
    given = Path(str(source.get("source")))
    path = given if given.is_absolute() else _file(given, file.parent, root)
    own = {"file_name": relative(path, root), "recording": str(recording.get("id") or "")}
    row = replace(row_from(ahead(own, _said(cut)), columns), name=name, channel=channel)
    row = replace(row, split=row.split or split_in(file.name.partition(".")[0]))
    whole = times[0] == 0 and times[1] >= _length(recording) - _WHOLE_S  # or was, when the recording was described
    return replace(row, side=None, start_s=None if whole else times[0], end_s=times[1])


def _length(recording: dict[str, Any]) -> float:
    """Return the declared duration of a recording; infinite where there is none."""
    return _number(recording.get("duration"), math.inf)


def _number(value: Any, otherwise: float) -> float:
    try:
        found = seconds(value)
    except ValueError:
        found = None
    return otherwise if found is None else found


def _file(given: Path, *folders: Path) -> Path:
    """A relative path below the first of the folders that holds it."""
    for folder in folders:
        if is_file(folder / given):
            return folder / given
        if not str(given).isascii() and len(found := Names(folder).find(given.as_posix())) == 1:
            return folder / found[0]
    return given


def _odd(cut: dict[str, Any]) -> str | None:
    return None if isinstance(cut.get("supervisions") or [], list) else "its supervisions are no list"


def _source(cut: dict[str, Any]) -> tuple[dict[str, Any], int | None] | str:
    """The source of a cut and the channel in its file (None: it has but one); or a key of _WHY."""
    kind, channel = str(cut.get("type", "MonoCut")), cut.get("channel", 0)
    if isinstance(channel, list) and len(channel) == 1:
        kind, channel = kind.replace("MultiCut", "MonoCut"), channel[0]
    recording = cut.get("recording")
    if kind in _WHY:
        return kind
    if kind != "MonoCut" or not isinstance(recording, dict) or not isinstance(recording.get("sources"), list):
        return "no_audio_entry"
    if recording.get("transforms"):
        return "transformed"
    for source in recording["sources"]:
        channels = source.get("channels") if isinstance(source, dict) else None
        if isinstance(channels, list) and channel in channels:
            kind = str(source.get("type"))
            at = None if len(channels) == 1 else channels.index(channel)
            return (source, at) if kind == "file" else kind
    return "no_audio_entry"


def _said(cut: dict[str, Any]) -> dict[str, Any]:
    """What the supervisions of a cut say together: texts in order, and of the rest what they agree on."""
    supervisions = [each for each in cut.get("supervisions") or () if isinstance(each, dict)]
    supervisions.sort(key=lambda each: _number(each.get("start"), 0.0))
    custom: dict[str, Any] = {}
    for each in (cut, *supervisions):
        custom |= each["custom"] if isinstance(each.get("custom"), dict) else {}
    known: dict[str, Any] = {}
    for name in _SHOWN:
        values = [text for each in supervisions if (text := text_of(each.get(name))) is not None]
        if name == "text" and values:
            known[name] = " ".join(values)
        elif len(set(values)) == 1 and len(values) == len(supervisions):
            known[name] = values[0]
        elif values:
            known[f"{name}s"] = values
    if len(supervisions) > 1:
        known["supervisions"] = len(supervisions)
    return ahead(known, custom)


def _cuts(folder: Path) -> list[Path]:
    likely = sorted(folder.glob("*cuts*.jsonl*")) if folder.is_dir() else []
    return [file for file in likely if file.name.endswith((".jsonl", ".jsonl.gz")) and _is_cuts(file)]


def _is_cuts(file: Path) -> bool:
    return str(first_object(file).get("type", "")).endswith("Cut")
