"""What a person decides about single clips: `overrides.csv` beside the corpus's settings, one decision a line.

Columns clip, decision (keep or drop), why, and who and date where they are known. The last line about a clip holds.
Nothing in it is guessed: a line that cannot be understood is an error that names it.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path

import pandas as pd

from allears.corpus.left import NONE_LEFT, Left, left_of, told
from allears.errors import CorpusError, nearest
from allears.storage.files import storage_error, write_bytes

logger = logging.getLogger(__name__)

NAME = "overrides.csv"
NEEDED, OPTIONAL = ("clip", "decision", "why"), ("who", "date")
COLUMNS = (*NEEDED, *OPTIONAL, "line")
DECISIONS = ("keep", "drop")
_FORMULA = re.compile(r"^[=+@\t\r]|^-(?!\s|$)")  # a spreadsheet would compute these


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One person's word about one clip."""

    clip: str
    decision: str
    why: str
    who: str = ""
    date: str = ""


def read(file: Path, clips: Iterable[str], left: Left = NONE_LEFT) -> pd.DataFrame:
    """The decisions that hold (COLUMNS), in the order of the file; none when there is no file. Decisions on clips that
    have `left` the corpus apply to nothing, which is said.

    Raises CorpusError for text that is not UTF-8, unbalanced quotes, unknown columns, words and clips: file and line.
    """
    decisions = _parsed(file)
    gone = left_of(((each.clip, f"{file}, line {line}") for line, each in decisions), set(clips), left)
    if gone:
        logger.warning("%s", told(sum(each.clip in gone for _, each in decisions), "override(s)", file))
    last = {each.clip: (line, each) for line, each in decisions if each.clip not in gone}
    rows = [(*astuple(each), line) for line, each in sorted(last.values(), key=lambda item: item[0])]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:-1], "string") | {"line": "int64"})


def append(file: Path, decision: Decision) -> None:
    """Add a line, atomically; what stands in the file is checked first and stays as it is, byte by byte."""
    _check(f"the decision on '{decision.clip}'", decision)
    before = _bytes(file)
    _parsed(file)
    rows = _rows(file, _text(file, before))
    names = _header(file, *rows[0]) if rows else [each.name for each in fields(Decision)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    if not rows:
        writer.writeheader()
    writer.writerow({name: getattr(decision, name) for name in names})
    gap = b"" if not before or before.endswith((b"\n", b"\r")) else b"\n"
    write_bytes(file, before + gap + text.getvalue().encode())


def today() -> str:
    """The date of a decision that is made now."""
    return date.today().isoformat()  # noqa: DTZ011  the person's day


def by_clip(clips: pd.Series[str], decided: pd.DataFrame | None) -> pd.DataFrame:
    """`decision` and `why` of each of `clips`, null where nobody decided."""
    if decided is None or decided.empty:
        return pd.DataFrame({"decision": pd.NA, "why": pd.NA}, index=clips.index, dtype="string")
    rows = decided.set_index("clip")[["decision", "why"]].reindex(clips)
    return rows.set_index(clips.index)


def _parsed(file: Path) -> list[tuple[int, Decision]]:
    """Every decision with its line."""
    rows = _rows(file, _text(file, _bytes(file)))
    if not rows:
        return []
    names = _header(file, *rows[0])
    found = []
    for line, cells in rows[1:]:
        where = f"{file}, line {line}"
        if len(cells) != len(names):
            raise CorpusError(
                f"{where}: expected {len(names)} cells ({', '.join(names)}), found {len(cells)}; put a text that has a "
                'comma between quotes: "…"'
            )
        decision = Decision(**dict(zip(names, cells, strict=True)))
        _check(where, decision)
        found.append((line, decision))
    return found


def _rows(file: Path, text: str) -> list[tuple[int, list[str]]]:
    """The cells of each line that has any, with the line that they begin on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{file}, line {line}: {error}; a quote is opened and not closed, or stands inside a text (write it twice)"
        ) from error
    return rows


def _header(file: Path, line: int, cells: list[str]) -> list[str]:
    names = [name.lower() for name in cells]
    odd = [name for name in names if name not in (*NEEDED, *OPTIONAL)]
    if odd or not set(NEEDED) <= set(names) or len(set(names)) < len(names):
        raise CorpusError(
            f"{file}, line {line}: expected the columns {', '.join(NEEDED)} (and {' and '.join(OPTIONAL)} if you "
            f"like), once each and separated by commas; found {', '.join(names)}"
        )
    return names


def _check(where: str, decision: Decision) -> None:
    if decision.decision not in DECISIONS:
        raise CorpusError(
            f"{where}: decision is '{decision.decision}'; expected {' or '.join(DECISIONS)}"
            f"{nearest(decision.decision, DECISIONS)}"
        )
    if not decision.why:
        raise CorpusError(f"{where}: why is empty; say in a few words why '{decision.clip}' is decided by hand")
    for name in ("why", *OPTIONAL):
        value = getattr(decision, name)
        if _FORMULA.match(value) or "\0" in value:
            raise CorpusError(
                f"{where}: {name} begins like a formula of a spreadsheet ({value[:20]!r}); begin with a word"
            )


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise storage_error(file, error) from error


def _text(file: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(f"{file}, line 1: the file is UTF-16; save it as 'CSV UTF-8'")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{file}, line {line}: not UTF-8 (byte {data[error.start]:#x}); save it as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise CorpusError(f"{file}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL; this is no text file")
    return text
