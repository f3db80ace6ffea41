"""Other people's text tables, a line at a time: an odd line costs itself alone, and none is read without end."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

LINE_CHARACTERS = 16 << 20  # a cut with all its words and times is a few MB; what is longer is no line
_RECORD_LINES = 100  # a quoted field of CSV may hold this many line ends
_FIRST_LINES = 20  # that tell what a file is: one of them may be broken
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a character that JSON may write in two
NEVER_A_WORD = frozenset(("NaN", "<NA>", "NaT"))  # as programs write that a value is missing
MISSING = NEVER_A_WORD | {"nan"}  # in tables that hold only text
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # byte order marks; UTF-8 where there is none


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a line cannot be read."""

    why: str


def read_lines(file: Path) -> Iterator[tuple[int, str | Broken]]:
    """Number (from 1) and text of each line, without its end; UTF-8, or UTF-16 by its mark; `.gz` is unpacked."""
    number = 0
    try:
        with _opened(file) as handle:
            while line := handle.readline(LINE_CHARACTERS):
                number += 1
                cut = len(line) == LINE_CHARACTERS and not line.endswith("\n")
                while cut and (more := handle.readline(LINE_CHARACTERS)):
                    cut = not more.endswith("\n")
                    line = ""
                if line == "" or len(line) == LINE_CHARACTERS:
                    yield number, Broken(f"it is longer than {LINE_CHARACTERS:,} characters")
                elif "\0" in line:
                    yield number, Broken("it holds NUL bytes: it is no text, or UTF-16 without a mark")
                else:
                    yield number, line.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield number + 1, Broken(f"the file breaks off here ({error}): copy it again")


def head_of(file: Path, characters: int) -> tuple[str, bool]:
    """The first `characters` of a text, and whether they are all; empty where it cannot be read."""
    try:
        with _opened(file) as handle:
            text = handle.read(characters)
            return text, len(text) < characters
    except (OSError, EOFError, zlib.error, UnicodeError):
        return "", True


def read_json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    """Number and object of each line that is not empty."""
    for number, line in read_lines(file):
        if isinstance(line, Broken):
            yield number, line
        elif line.strip():
            yield number, parsed(line)


def first_object(file: Path) -> dict[str, Any]:
    """The first object among the first lines, which tells what a file is; empty where there is none."""
    found = (line for _, line in islice(read_json_lines(file), _FIRST_LINES))
    return next((line for line in found if isinstance(line, dict)), {})


def parsed(text: str) -> dict[str, Any] | Broken:
    """The JSON object in `text`."""
    try:
        value = json.loads(text)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Broken("half of a character is in it (such as \\ud83d without what belongs to it)")
    except (ValueError, RecursionError) as error:
        return Broken(f"it is not JSON ({error})")
    return value if isinstance(value, dict) else Broken("it is not a JSON object")


def read_split(file: Path, delimiter: str = "\t") -> Iterator[tuple[int, list[str] | Broken]]:
    """Number and fields of each line that is not empty; quotes mean nothing."""
    for number, line in read_lines(file):
        if isinstance(line, Broken):
            yield number, line
        elif line.strip():
            yield number, line.split(delimiter)


def read_csv(file: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str] | Broken]]:
    """Number of the first line, and fields, of each record.

    A quote that is never closed would swallow all lines up to the next one: here it costs its own line alone. Other odd
    quotes are read as the csv module, pandas and the rest read them.
    """
    lines = read_lines(file)
    waiting: deque[tuple[int, str | Broken]] = deque()
    while first := (waiting.popleft() if waiting else next(lines, None)):
        number, line = first
        if isinstance(line, Broken):
            yield number, line
            continue
        if not line.strip():
            continue
        found = _parsed([line], delimiter, strict=line.count('"') % 2 == 1)
        together = _closed(line, waiting, lines)
        across = _parsed(together, delimiter, strict=True) if len(together) > 1 else Broken("")
        if not isinstance(across, Broken):
            found = across
            for _ in together[1:]:
                waiting.popleft()
        if isinstance(found, Broken):
            yield number, found
        else:
            yield from ((number, fields) for fields in found)


def records(rows: Iterator[tuple[int, list[str] | Broken]]) -> Iterator[tuple[int, dict[str, str | None] | Broken]]:
    """Each line by the names in the first one; None for a value that is missing."""
    names: list[str] | None = None
    for number, fields in rows:
        if isinstance(fields, Broken):
            yield number, fields
        elif names is None:
            names = fields
        elif len(fields) != len(names):
            why = f"it has {len(fields)} fields where the header names {len(names)} (a separator in a text?)"
            yield number, Broken(why)
        else:
            values = (None if value in MISSING else value for value in fields)
            yield number, dict(zip(names, values, strict=True))


def header(rows: Iterator[tuple[int, list[str] | Broken]]) -> list[str]:
    """The names in the first line; none where there is none, or it cannot be read."""
    _, fields = next(rows, (0, Broken("")))
    return [] if isinstance(fields, Broken) else fields


def _parsed(lines: list[str], delimiter: str, *, strict: bool) -> list[list[str]] | Broken:
    try:
        return [fields for fields in csv.reader(lines, delimiter=delimiter, strict=strict) if fields]
    except csv.Error as error:
        return Broken(f"it is not CSV ({error})")


def _closed(
    line: str, waiting: deque[tuple[int, str | Broken]], lines: Iterator[tuple[int, str | Broken]]
) -> list[str]:
    """`line` and those after it up to the one that closes its quote, or `line` alone. Those after it are `waiting`."""
    together, size = [line], len(line)
    quotes, at = line.count('"'), 0
    while quotes % 2 and len(together) < _RECORD_LINES and size < LINE_CHARACTERS:
        if at == len(waiting):
            more = next(lines, None)
            if more is None:
                break
            waiting.append(more)
        text = waiting[at][1]
        if isinstance(text, Broken):
            break
        at += 1
        together[-1] += "\n"
        together.append(text)
        quotes += text.count('"')
        size += len(text)
    return [line] if quotes % 2 else together


def _opened(file: Path) -> IO[str]:
    opener: Any = gzip.open if file.name.lower().endswith(".gz") else open
    with opener(file, "rb") as handle:
        encoding = _MARKS.get(handle.read(2), "utf-8-sig")
    return cast("IO[str]", opener(file, "rt", encoding=encoding, errors="replace", newline="\n"))
