"""Multilingual LibriSpeech: `mls_LANGUAGE/SPLIT/transcripts.txt` and `SPLIT/audio/SPEAKER/BOOK/ID.{flac,opus}`.

`metainfo.txt` (speaker | gender | partition | minutes | book | title | chapter) lies beside the splits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, match_columns, row_from
from allears.corpus.layouts.files import is_file, nearest_level, relative
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.tables import Broken, read_split

ABOUT = About(needs="transcripts.txt beside audio/", any_ending=True)
_COLUMNS = ("file_name", "text", "speaker", "session", "gender", "language", "split", "title")
_LANGUAGES = {
    "english": "en", "german": "de", "dutch": "nl", "spanish": "es", "french": "fr", "italian": "it",
    "portuguese": "pt", "polish": "pl",
}  # fmt: skip


def parts(root: Path) -> list[Path]:
    """The folders of `root` that are a split: itself, those in it, or those in its languages."""
    return nearest_level(
        root, lambda folder: (folder / "transcripts.txt").is_file() and (folder / "audio").is_dir(), depth=2
    )


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = ", ".join(relative(folder / "transcripts.txt", root) for folder in parts(root))
    return f"there is {found} beside audio/" if found else ""


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    return match_columns(_COLUMNS, asked, f"{root} (MLS)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line of a split's transcripts."""
    columns = columns_of(root, asked)
    for part in parts(root):
        yield from _part_rows(root, part, columns)


def _part_rows(root: Path, part: Path, columns: Columns) -> Rows:
    genders, titles = _readers(part.parent / "metainfo.txt")
    language = _LANGUAGES.get(part.parent.name.removeprefix("mls_").removesuffix("_opus"), "")
    ending = ""
    seen: set[str] = set()
    for number, fields in read_split(part / "transcripts.txt"):
        where = f"{relative(part, root)}/transcripts.txt line {number}"
        ids = [] if isinstance(fields, Broken) else fields[0].strip().split("_")
        if isinstance(fields, Broken) or len(fields) != 2 or len(ids) != 3:
            why = fields.why if isinstance(fields, Broken) else "it is not SPEAKER_BOOK_NUMBER, a tab, and the text"
            yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {why}")
            continue
        name, (speaker, book, _) = fields[0].strip(), ids
        if name in seen:
            message = f"{where}: {name} was there before; the first counts"
            yield Reject(name=name, path="", reason="duplicate_id", message=message)
            continue
        seen.add(name)
        file = part / "audio" / speaker / book / name
        ending = ending or _ending(file)
        record = {
            "file_name": relative(Path(f"{file}{ending}"), root), "text": fields[1], "speaker": speaker,
            "session": f"{speaker}_{book}", "gender": genders.get(speaker, ""), "language": language,
            "split": part.name, "title": titles.get((speaker, book), ""),
        }  # fmt: skip
        yield replace(row_from(record, columns), name=name)


def _ending(file: Path) -> str:
    return next((end for end in (".flac", ".opus", ".wav", ".mp3") if is_file(Path(f"{file}{end}"))), ".flac")


def _readers(file: Path) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Gender of each speaker; title of what a speaker read."""
    genders: dict[str, str] = {}
    titles: dict[tuple[str, str], str] = {}
    for _, fields in read_split(file, "|") if file.is_file() else ():
        values = [] if isinstance(fields, Broken) else [field.strip() for field in fields]
        if len(values) > 1:
            genders[values[0]] = values[1]
        if len(values) > 5:
            titles[values[0], values[4]] = values[5]
    return genders, titles
