"""LibriSpeech: `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` beside the flac files it names.

`SPEAKERS.TXT` and `CHAPTERS.TXT` lie beside the subsets (or, where one subset is given, beside it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, match_columns, row_from
from allears.corpus.layouts.files import nearest_level, relative, split_in
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.tables import Broken, read_lines, read_split

ABOUT = About(needs="SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt", any_ending=True)
_TRANSCRIPTS = "[0-9]*/[0-9]*/[0-9]*-[0-9]*.trans.txt"
_COLUMNS = (
    "file_name", "text", "speaker", "session", "gender", "language", "split", "subset", "reader", "chapter", "book",
)  # fmt: skip


def subsets(root: Path) -> list[Path]:
    """The folders of `root` that hold speakers: itself, those in it, or those in the LibriSpeech in it."""
    return nearest_level(root, lambda folder: any(folder.glob(_TRANSCRIPTS)), depth=2)


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    names = ", ".join(folder.name for folder in subsets(root))
    return f"there are transcripts named SPEAKER-CHAPTER.trans.txt ({names})" if names else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    return match_columns(_COLUMNS, asked, f"{root} (LibriSpeech)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line of a transcript."""
    columns = columns_of(root, asked)
    for subset in subsets(root):
        speakers = _facts(subset.parent / "SPEAKERS.TXT", {"gender": 1, "reader": 4})
        chapters = _facts(subset.parent / "CHAPTERS.TXT", {"chapter": 6, "book": 7})
        for transcript in sorted(subset.glob(_TRANSCRIPTS)):
            speaker, chapter = transcript.parts[-3:-1]
            record = {"speaker": speaker, "session": f"{speaker}-{chapter}", "language": "en"}
            record |= {"split": split_in(subset.name) or "", "subset": subset.name}  # both are names for the split
            record |= speakers.get(speaker, {}) | chapters.get(chapter, {})
            yield from _chapter(transcript, root, record, columns)


def _chapter(transcript: Path, root: Path, record: dict[str, str], columns: Columns) -> Rows:
    seen: set[str] = set()
    for number, line in read_lines(transcript):
        where = f"{relative(transcript, root)} line {number}"
        name, _, text = ("", "", "") if isinstance(line, Broken) else line.strip().partition(" ")
        if isinstance(line, Broken):
            yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {line.why}")
        elif name in seen:
            message = f"{where}: {name} was there before; the first counts"
            yield Reject(name=name, path="", reason="duplicate_id", message=message)
        elif name:
            seen.add(name)
            path = relative(transcript.parent / f"{name}.flac", root)
            yield replace(row_from(record | {"file_name": path, "text": text}, columns), name=name)


def _facts(file: Path, wanted: dict[str, int]) -> dict[str, dict[str, str]]:
    """Of a table with | between its fields and ; before its comments: id → name → field."""
    return dict(_lines(file, wanted)) if file.is_file() else {}


def _lines(file: Path, wanted: dict[str, int]) -> Iterator[tuple[str, dict[str, str]]]:
    for _, fields in read_split(file, "|"):
        if not isinstance(fields, Broken) and not re.match(r"\s*;", fields[0]):
            values = {name: fields[at].strip() for name, at in wanted.items() if at < len(fields)}
            yield fields[0].strip(), values
