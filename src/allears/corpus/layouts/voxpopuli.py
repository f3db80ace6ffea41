"""VoxPopuli, transcribed: `asr_LANGUAGE.tsv[.gz]` (| between its fields) points into `raw_audios/**/*.ogg`.

A session's file is `raw_audios/original/YEAR/SESSION_original.ogg` (what the speakers said) or, where that is absent,
`raw_audios/LANGUAGE/YEAR/SESSION_LANGUAGE.ogg` (with the interpreters). The transcripts are of the speakers.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, ahead, match_columns, row_from
from allears.corpus.layouts.files import relative, subfolders, walk_audio
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.spans import from_ends
from allears.corpus.layouts.tables import Broken, header, read_csv, records

REQUIRED = ("session_id", "start_time")
_COLUMNS = (
    "file_name", "normed_text", "speaker_id", "session_id", "gender", "language", "split", "original_text", "id_",
    "vad",
)  # fmt: skip
KNOWN = (*REQUIRED, "end_time", *_COLUMNS)
ABOUT = About(needs="asr_LANGUAGE.tsv.gz (| between session_id, start_time …)", required=REQUIRED, known=KNOWN)


def tables(root: Path) -> list[Path]:
    """The tables in `root`, in its folders, or in `transcribed_data/LANGUAGE`."""
    folders = [root, *subfolders(root), *subfolders(root / "transcribed_data")]
    found = [file for folder in folders for file in sorted(folder.glob("asr_*.tsv*")) if _language(file)]
    return [file for file in found if set(REQUIRED) <= set(header(read_csv(file, "|")))]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = ", ".join(relative(file, root) for file in tables(root))
    return f"there is {found} with times in sessions of VoxPopuli" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    return match_columns(_COLUMNS, asked, f"{root} (VoxPopuli)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line."""
    columns = columns_of(root, asked)
    for file in tables(root):
        yield from _table_rows(root, file, columns)


def _table_rows(root: Path, file: Path, columns: Columns) -> Rows:
    language = _language(file) or ""
    sessions = _sessions(root, language)
    for number, record in records(read_csv(file, "|")):
        where = f"{relative(file, root)} line {number}"
        if isinstance(record, Broken):
            yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {record.why}")
            continue
        session = (record["session_id"] or "").strip()
        name = f"{session}-{record.get('id_') or number}"
        if session not in sessions:
            message = f"{where}: no file of session {session} is below raw_audios/original or raw_audios/{language}"
            yield Reject(name=name, path="", reason="no_audio_entry", message=message)
            continue
        times = from_ends(record.pop("start_time"), record.pop("end_time", None))
        if isinstance(times, str):
            yield Reject(name=name, path=sessions[session], reason="bad_segment", message=f"{where}: {times}")
            continue
        known = ahead({"file_name": sessions[session], "language": language}, record)
        yield replace(row_from(known, columns), name=name, start_s=times[0], end_s=times[1])


def _sessions(root: Path, language: str) -> dict[str, str]:
    """Session → path; the original before the interpreters'."""
    found: dict[str, str] = {}
    for kind in (language, "original"):
        folder = root / "raw_audios" / kind
        for path in walk_audio(folder):
            stem = path.rpartition("/")[2].rpartition(".")[0].removesuffix(f"_{kind}")
            found[stem] = relative(folder / path, root)
    return found


def _language(file: Path) -> str | None:
    match = re.fullmatch(r"asr_([a-z]{2})\.tsv(\.gz)?", file.name)
    return match.group(1) if match else None
