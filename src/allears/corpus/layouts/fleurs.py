"""FLEURS: `LANGUAGE/{train,dev,test}.tsv` without a header, and `LANGUAGE/audio/SPLIT.tar.gz` (or unpacked).

The same sentence is read by several people, and who they are is not told: its id is no speaker's.
"""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

from allears.corpus.layouts.columns import Asked, Columns, ahead, match_columns, row_from
from allears.corpus.layouts.files import is_audio, nearest_level, relative
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.tables import Broken, read_split
from allears.storage.containers import BROKEN, tidied
from allears.types import SPLITS

ABOUT = About(needs="train.tsv, dev.tsv or test.tsv (seven fields, no header)", any_ending=True)
_FIELDS = ("sentence_id", "path", "raw_transcription", "transcription", "characters", "num_samples", "gender")
_COLUMNS = ("path", "transcription", "gender", "language", "locale", "split", "sentence_id", "raw_transcription")


def languages(root: Path) -> list[Path]:
    """The folders of `root` with tables of FLEURS: itself, those in it, or those in `data` or `metadata` in it."""
    return nearest_level(root, lambda folder: bool(_tables(folder)), depth=2)


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = languages(root)
    tables = ", ".join(sorted({f"{split}.tsv" for folder in found for split in _tables(folder)}))
    return (
        f"there is {tables} of FLEURS, without a header ({', '.join(folder.name for folder in found)})" if found else ""
    )


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the columns of a clip. Raises CorpusError when the label asked for is none of them."""
    return match_columns(_COLUMNS, asked, f"{root} (FLEURS)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a line; the first line is one too."""
    columns = columns_of(root, asked)
    for folder in languages(root):
        for split in _tables(folder):
            yield from _split_rows(root, folder, split, columns)


def _split_rows(root: Path, folder: Path, split: str, columns: Columns) -> Rows:
    file = folder / f"{split}.tsv"
    common = {"language": folder.name.split("_")[0], "locale": folder.name, "split": split}
    place, within = _audio(folder, split)
    seen: set[str] = set()
    for number, fields in read_split(file):
        where = f"{relative(file, root)} line {number}"
        if isinstance(fields, Broken) or len(fields) != len(_FIELDS):
            why = fields.why if isinstance(fields, Broken) else f"it has {len(fields)} fields, not {len(_FIELDS)}"
            yield Reject(name=where, path="", reason="malformed_line", message=f"{where}: {why}")
            continue
        record = dict(zip(_FIELDS, fields, strict=True))
        del record["characters"]  # the transcription again, a letter at a time
        name = record["path"].strip()
        if name in seen:
            message = f"{where}: {name} was described before; the first counts"
            yield Reject(name=name, path=name, reason="duplicate_id", message=message)
            continue
        seen.add(name)
        member = None if within is None else f"{within}{name}"
        path = relative(place / name if within is None else place, root)
        own = common | {"path": path, "transcription": record["transcription"]}  # the raw one comes before it
        yield replace(row_from(ahead(own, record), columns), name=name.removesuffix(".wav"), member=member)


def _audio(folder: Path, split: str) -> tuple[Path, str | None]:
    """Where a split's recordings are: a folder, or a tar and the folder within it."""
    beside = folder.parent.parent / folder.name / split  # where `metadata/LANGUAGE` holds the tables alone
    places = [folder / "audio" / split, folder / split]
    places += [beside] if folder.parent.name == "metadata" else []
    unpacked = next((place for place in places if place.is_dir()), None)
    packed = folder / "audio" / f"{split}.tar.gz"
    if unpacked is not None or not packed.is_file():
        return unpacked or places[0], None
    return packed, _first_folder(packed, split)


def _first_folder(packed: Path, split: str) -> str:
    """The folder of the first recording in a tar, with its /."""
    try:
        with tarfile.open(packed, "r|gz") as tar:
            names = (tidied(member.name) for member in tar if member.isreg())
            name = next((name for name in names if is_audio(name.rpartition("/")[2])), f"{split}/")
    except (*BROKEN, OSError):  # the recordings will be missed when they are read, and that is said
        return f"{split}/"
    return name[: name.rfind("/") + 1]


def _tables(folder: Path) -> list[str]:
    return [split for split in SPLITS if _is_table(folder / f"{split}.tsv")]


def _is_table(file: Path) -> bool:
    if not file.is_file():
        return False
    _, fields = next(read_split(file), (0, Broken("")))
    return not isinstance(fields, Broken) and len(fields) == len(_FIELDS) and fields[0].strip().isdigit() and (
        fields[5].strip().isdigit()
    )  # fmt: skip
