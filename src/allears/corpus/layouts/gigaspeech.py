"""GigaSpeech: one `GigaSpeech.json` whose `audios[]` hold `segments[]` of long files.

It is gigabytes long, so it is read an audio at a time. Tags of punctuation become punctuation; a segment whose text is
only `<SIL>`, `<MUSIC>`, `<NOISE>` or `<OTHER>` has no text (github.com/SpeechColab/GigaSpeech, README).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from allears.corpus.layouts.columns import Asked, Columns, ahead, match_columns, row_from, text_of
from allears.corpus.layouts.files import nearest_level, relative
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Row, Rows
from allears.corpus.layouts.spans import from_ends
from allears.corpus.layouts.tables import Broken

TABLE = "GigaSpeech.json"
ABOUT = About(needs=TABLE, any_ending=True)
_COLUMNS = (
    "file_name",
    "text",
    "speaker",
    "session",
    "language",
    "split",
    "text_tn",
    "tag",
    "category",
    "source",
    "title",
)
_PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
_NO_SPEECH = frozenset(("<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"))
_BLOCK = 1 << 20  # characters
_BETWEEN = " \t\r\n,"
_LONGEST = 1 << 28  # characters of one audio with all its segments


def files(root: Path) -> list[Path]:
    """The description: in `root` or in the GigaSpeech in it."""
    return [folder / TABLE for folder in nearest_level(root, lambda folder: (folder / TABLE).is_file(), depth=1)]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = ", ".join(relative(file, root) for file in files(root))
    return f"there is {found}" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    return match_columns(_COLUMNS, asked, f"{root} (GigaSpeech)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a segment; an audio without segments is a row of its own, without a text."""
    columns = columns_of(root, asked)
    for file in files(root):
        for number, audio in enumerate(_audios(file), start=1):
            where = f"{relative(file, root)} audio {number}"
            why = audio.why if isinstance(audio, Broken) else _odd(audio)
            if isinstance(audio, Broken) or why is not None:
                yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {why}")
            else:
                yield from _audio_rows(root, file.parent, audio, columns)


def _odd(audio: dict[str, Any]) -> str | None:
    return _odd_subsets(audio) if isinstance(audio.get("path"), str) else "it has no path"


def _odd_subsets(of: dict[str, Any]) -> str | None:
    """Why its subsets cannot be read: what may be a test clip is not to be taken for another."""
    return None if isinstance(of.get("subsets") or [], list) else "its subsets are no list"


def _audio_rows(root: Path, folder: Path, audio: dict[str, Any], columns: Columns) -> Rows:
    aid = text_of(audio.pop("aid", None)) or audio["path"]
    segments = audio.pop("segments", None)
    path = relative(folder / audio.pop("path"), root)
    own = {"file_name": path, "language": (text_of(audio.get("language")) or "en").lower(), "session": aid}
    common = ahead(own, audio)
    if not segments:
        yield replace(row_from(common | {"split": _split(audio)}, columns), name=aid)
        return
    for number, segment in enumerate(segments if isinstance(segments, list) else [segments]):
        where = f"{aid} segment {number}"
        why = _odd_subsets(segment) if isinstance(segment, dict) else "it is not a JSON object"
        if why is None:
            yield _row(segment, where, common | {"split": _split(segment) or _split(audio)}, columns)
        else:
            yield Reject(name=where, path=path, reason="malformed_line", message=f"{where}: {why}")


def _row(segment: dict[str, Any], where: str, common: dict[str, Any], columns: Columns) -> Row | Reject:
    times = from_ends(segment.pop("begin_time", None), segment.pop("end_time", None))
    name = text_of(segment.pop("sid", None)) or ""
    if isinstance(times, str):
        about = {"name": name or where, "path": common["file_name"]}
        return Reject(**about, reason="bad_segment", message=f"{where}, '{name}': {times}")
    known = segment | _said(text_of(segment.get("text_tn")) or "")
    return replace(row_from(common | known, columns), name=name, start_s=times[0], end_s=times[1])


def _said(text_tn: str) -> dict[str, str]:
    if text_tn.strip() in _NO_SPEECH:
        return {"tag": text_tn.strip().strip("<>").lower()}
    text = re.sub(r"\s*(<[A-Z]+>)", lambda tag: _PUNCTUATION.get(tag[1], tag[0]), text_tn)
    return {"text": text.strip()}


def _split(of: dict[str, Any]) -> str:
    """{XL} … {XS} are parts of one training set."""
    subsets = {str(name).strip("{}").upper() for name in of.get("subsets") or ()}
    return next((split for split in ("dev", "test") if split.upper() in subsets), "train" if subsets else "")


def _audios(file: Path) -> Iterator[dict[str, Any] | Broken]:
    """The elements of the list `audios`, with one of them in memory."""
    decoder = json.JSONDecoder()
    with file.open(encoding="utf-8-sig", errors="replace") as handle:
        held = ""
        while not (start := re.search(r'"audios"\s*:\s*\[', held)):
            more = handle.read(_BLOCK)
            if not more:
                yield Broken("it has no list 'audios'")
                return
            held = held[-64:] + more
        held, need = held[start.end() :].lstrip(_BETWEEN), 1
        while True:
            while len(held) < need and (more := handle.read(_BLOCK)):
                held = (held + more).lstrip(_BETWEEN)
            if held.startswith("]"):
                return
            try:
                audio, end = decoder.raw_decode(held)
            except (ValueError, RecursionError) as error:
                if len(held) < need or len(held) > _LONGEST or isinstance(error, RecursionError):
                    yield Broken(f"the file is no JSON from here on, or breaks off ({error}): copy it again")
                    return
                need = 2 * len(held) + 1  # doubled, so that a long audio is tried a few times only
                continue
            held, need = held[end:].lstrip(_BETWEEN), 1
            yield audio if isinstance(audio, dict) else Broken("it is not a JSON object")
