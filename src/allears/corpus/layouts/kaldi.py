"""Kaldi data folders: `wav.scp` and its tables, in the folder itself or in each of its folders that has one.

What utt2split says counts before what the folder's name says, as in all layouts. An utterance that lies in several
folders (`train` and a part of it) is one clip; in those of two splits the first counts, and the second is a reject.
Unknown `utt2x` and `spk2x` tables become attributes. Commands (a trailing `|`) are refused: a corpus must not run
programs. A fifth column of `segments` is a channel that counts from 0 (featbin/extract-segments.cc);
`reco2file_and_channel` names the side of a call, A or B (or 1, utils/validate_data_dir.sh), of each recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, clean, match_columns, row_from
from allears.corpus.layouts.files import relative, split_in, unsafe
from allears.corpus.layouts.names import normal
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.sides import side_of
from allears.corpus.layouts.spans import from_ends
from allears.corpus.layouts.tables import MISSING, Broken, read_lines

TABLE = "wav.scp"
ABOUT = About(needs=TABLE, absolute=True, free_columns=True)
_FIELDS = {
    "utt2spk": "speaker", "utt2lang": "language", "utt2sess": "session",
    "spk2gender": "gender", "spk2age": "age", "spk2accent": "accent", "spk2lang": "language",
}  # fmt: skip
_SIDES = "reco2file_and_channel"
_BY_RECORDING = frozenset(("reco2dur", _SIDES))
_DERIVED = frozenset(("spk2utt", "utt2dur", "utt2num_frames", "utt2num_samples", "utt2uniq", "utt2max_frames"))


@dataclass(slots=True)
class _Tables:
    """`by_utterance`, `by_speaker`, `by_recording`: table name → id → value."""

    by_utterance: dict[str, dict[str, str]] = field(default_factory=dict)
    by_speaker: dict[str, dict[str, str]] = field(default_factory=dict)
    by_recording: dict[str, dict[str, str]] = field(default_factory=dict)


def folders(root: Path) -> list[tuple[Path, str | None]]:
    """The Kaldi folders of `root` with the split that their name gives them; those without one come last."""
    if (root / "wav.scp").is_file():
        return [(root, None)]
    below = sorted(root.iterdir()) if root.is_dir() else []
    found = [path for path in below if path.name[0] != "." and (path / "wav.scp").is_file()]
    return sorted(((path, split_in(path.name)) for path in found), key=lambda each: each[1] is None)


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = [relative(folder / TABLE, root) for folder, _ in folders(root)]
    again = "; an utterance that is in several counts once" if len(found) > 1 else ""
    return f"there is {', '.join(found)}{again}" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the tables of `root` as columns. Raises CorpusError when the label asked for is none of them."""
    names = ["text"] if any((folder / "text").is_file() for folder, _ in folders(root)) else []
    for folder, _ in folders(root):
        names += [name for file in sorted(folder.iterdir()) if (name := _column(file.name)) and name not in names]
    return match_columns(["file_name", *names], asked, f"{root} (its tables)")


def rows(root: Path, asked: Asked) -> Rows:
    """One row an utterance; lines that nothing matches are rejects."""
    columns = columns_of(root, asked)
    described: dict[tuple[str, str, float | None, float | None], str | None] = {}
    for folder, split in folders(root):
        for item in _folder_rows(root, folder, split, columns):
            if isinstance(item, Reject):
                yield item
                continue
            piece = (item.name, item.path, item.start_s, item.end_s)
            if piece not in described:
                described[piece] = item.split
                yield item
            elif item.split not in (None, described[piece]):
                why = f"it was there before, of {described[piece] or 'no split'}; the first counts"
                yield _reject(folder, "wav.scp", item.name, "duplicate_id", why)


def _folder_rows(root: Path, folder: Path, split: str | None, columns: Columns) -> Rows:
    tables = _Tables()
    recordings: dict[str, str] = {}
    named: set[str] = set()  # utterances that a line about audio speaks of, usable or not
    yield from _fill(folder, tables)
    for item in _recordings(root, folder):
        if isinstance(item, Reject):
            named.add(item.name)
            yield item
        else:
            recordings[item[0]] = item[1]
    segments = folder / "segments"
    for clip in _segments(segments, recordings) if segments.is_file() else _whole(recordings):
        named.add(clip.name)
        yield _described(clip, tables, columns, split) if isinstance(clip, Row) else clip
    lone = {key: name for name, table in tables.by_utterance.items() for key in table if key not in named}
    for key, name in lone.items():
        yield _reject(folder, name, key, "no_audio_entry", "neither wav.scp nor segments names a recording for it")


def _described(row: Row, tables: _Tables, columns: Columns, split: str | None) -> Row:
    record: dict[str, str] = {"file_name": row.path}
    for name, table in tables.by_utterance.items():
        if row.name in table:
            record[_column(name) or name] = table[row.name]
    speaker = record.get("speaker", "")
    for name, table in tables.by_speaker.items():
        if speaker in table:
            record.setdefault(_column(name) or name, table[speaker])
    recording = row.attributes.get("recording", row.name)
    for name, table in tables.by_recording.items():
        if recording in table:
            record[name] = table[recording]
    call, _, channel = record.pop(_SIDES, "").rpartition(" ")
    if call.strip():
        record.setdefault("session", call.strip())
    side = row.side if row.side or row.channel is not None else _side(channel)
    known = row_from(record, columns)
    return replace(
        known, name=row.name, path=row.path, start_s=row.start_s, end_s=row.end_s, split=known.split or split,
        attributes=known.attributes | row.attributes, side=side, channel=row.channel,
    )  # fmt: skip


def _side(channel: str) -> str | None:
    """Return A or B, for which 1 and 2 are other names here; None for any other word."""
    side = side_of(channel)
    return {"1": "A", "2": "B"}.get(side, side) if side else None


def _column(name: str) -> str | None:
    """The column that a table of this name is, None for files that are no tables of facts."""
    if name == "text" or name in _FIELDS:
        return _FIELDS.get(name, name)
    known = name.startswith(("utt2", "spk2")) and name not in _DERIVED and "." not in name
    return name[4:] if known else None


def _fill(folder: Path, tables: _Tables) -> Iterator[Reject]:
    """Fill `tables`; yield the lines that repeat an id, or cannot be read."""
    for file in sorted(folder.iterdir()):
        name = file.name
        if name in _BY_RECORDING:
            into = tables.by_recording
        elif _column(name) is None:
            continue
        else:
            into = tables.by_speaker if name.startswith("spk2") else tables.by_utterance
        table = into.setdefault(name, {})
        for line in _lines(file):
            if isinstance(line, Reject):
                yield line
                continue
            key, value = line
            if key in table:
                yield _reject(folder, name, key, "duplicate_id", "this id was there before; the first counts")
            elif value not in MISSING and (name == "text" or clean(value) is not None):
                table[key] = value


def _recordings(root: Path, folder: Path) -> Iterator[tuple[str, str] | Reject]:
    """(recording, path below root) of each usable line of wav.scp."""
    seen: set[str] = set()
    for line in _lines(folder / "wav.scp"):
        if isinstance(line, Reject):
            yield line
            continue
        key, value = line
        if key in seen:
            yield _reject(folder, "wav.scp", key, "duplicate_id", "this id was there before; the first counts")
            continue
        seen.add(key)
        if value.endswith("|"):
            yield _reject(
                folder,
                "wav.scp",
                key,
                "command",
                "it is a command (a trailing |), and allears runs none: decode it to a file",
            )
            continue
        absolute = value.startswith("/")
        problem = unsafe(value.lstrip("/") if absolute else value)
        if problem is not None:
            yield _reject(folder, "wav.scp", key, "outside_root" if value else "malformed_line", problem)
            continue
        path = Path(value) if absolute else folder / value
        yield key, relative(path, root)


def _whole(recordings: dict[str, str]) -> Rows:
    return (Row(name=key, path=path) for key, path in recordings.items())


def _segments(file: Path, recordings: dict[str, str]) -> Rows:
    """`utterance recording start end [channel]`; an end of −1 goes to the end of the recording."""
    folder, used, seen = file.parent, set(), set()
    for line in _lines(file):
        if isinstance(line, Reject):
            yield line
            continue
        key, value = line
        parts = [normal(part) for part in value.split()]
        if key in seen:
            yield _reject(folder, "segments", key, "duplicate_id", "this id was there before; the first counts")
            continue
        seen.add(key)
        used.update(parts[:1])
        found = _segment(parts)
        if found is None:
            why = f"'{value}' is not: recording, start, end and perhaps a channel (0, 1 …)"
            yield _reject(folder, "segments", key, "malformed_line", why)
        elif parts[0] not in recordings:
            yield _reject(folder, "segments", key, "no_audio_entry", f"its recording '{parts[0]}' is not in wav.scp")
        elif isinstance(found, str):
            yield _reject(folder, "segments", key, "bad_segment", found)
        else:
            yield replace(found, name=key, path=recordings[parts[0]], attributes={"recording": parts[0]})
    for key in (key for key in recordings if key not in used):
        yield _reject(folder, "wav.scp", key, "no_segment", "no line of segments uses this recording")


def _segment(parts: list[str]) -> Row | str | None:
    """The times and the channel of `recording start end [channel]`; why there are none, or None for another line."""
    channel = parts[3] if len(parts) > 3 else ""
    numbered = channel.isascii() and channel.isdigit()
    if len(parts) not in (3, 4) or (channel and not numbered and _side(channel) is None):
        return None
    try:
        float(parts[1]), float(parts[2])
    except ValueError:
        return None
    times = from_ends(parts[1], parts[2])
    if isinstance(times, str):
        return times
    side = None if numbered else _side(channel)
    return Row(
        name="", path="", start_s=times[0], end_s=times[1], channel=int(channel) if numbered else None, side=side
    )


def _lines(file: Path) -> Iterator[tuple[str, str] | Reject]:
    """Id, in one normal form for all tables, and value of each line that is not empty."""
    for number, line in read_lines(file):
        if isinstance(line, Broken):
            yield _reject(file.parent, file.name, f"line {number}", "malformed_line", line.why)
        elif parts := line.split(maxsplit=1):
            yield normal(parts[0]), parts[1].rstrip() if len(parts) > 1 else ""


def _reject(folder: Path, table: str, key: str, reason: str, message: str) -> Reject:
    return Reject(name=key, path="", reason=reason, message=f"{folder.name}/{table}, '{key}': {message}")
