"""Column names of other people's tables, mapped to ours; the rest is kept as attributes.

Case, spaces and what separates words do not count in a name: `speakerId`, `speaker_id` and `Speaker ID` are one.

NaN, infinity, an empty list or object, and the words `NaN`, `<NA>` and `NaT` are null. The word `nan` is null in tables
that hold only text (csv, tsv, Kaldi, members of tars), where it is the same as a NaN that Python wrote; in JSON and
parquet it stays a word: a syllable, or Min Nan by ISO 639-3.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allears.corpus.layouts.files import SPLIT_WORDS
from allears.corpus.layouts.row import Row
from allears.corpus.layouts.sides import side_of
from allears.corpus.layouts.tables import NEVER_A_WORD
from allears.corpus.licences import UNKNOWN, understood
from allears.errors import CorpusError, nearest

_NAMES: dict[str, tuple[str, ...]] = {
    "file": ("file_name", "file", "path", "audio", "audio_path", "audio_filepath", "audio_file", "file_path"),
    "text": ("text", "transcription", "transcript", "sentence", "normalized_text", "normed_text", "raw_transcription"),
    "label": ("label", "class", "category", "keyword", "intent"),
    "language": ("language", "lang", "locale"),
    "accent": ("accent", "accents", "dialect"),
    "gender": ("gender", "sex"),
    "age": ("age", "age_group"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
    "session": ("session", "session_id", "conversation", "conversation_id"),
    "licence": ("licence", "license"),
    "split": ("split", "subset", "partition"),
}
_FIELDS = {name.replace("_", ""): field for field, names in _NAMES.items() for name in names}
# facts about a file, never what somebody wants to predict
_TECHNICAL = frozenset((
    "id", "index", "idx", "duration", "durations", "durationms", "length", "numsamples", "nsamples", "samplerate",
    "samplingrate", "channel", "channels", "md5", "sha256", "url", "recording",
))  # fmt: skip
# utt_id, clip-id, fileId, uttid, uuid; not valid, grid or hybrid
_ID = re.compile(
    r"(?i:(?:^|[_\W])(?:id|[ug]uid)$|^(?:utt|utterance|clip|file|sentence|segment|sample|audio|rec|recording)id$)|[a-z]I[Dd]$"
)
_GENDERS: dict[str, str | None] = {
    "m": "male", "male": "male", "man": "male", "male_masculine": "male",
    "f": "female", "female": "female", "woman": "female", "female_feminine": "female",
    "do_not_wish_to_say": None,  # Common Voice since 17
}  # fmt: skip
_BETWEEN = re.compile(r"[\W_]+")
_NEAR = 0.8  # of difflib's ratio: speakerident is near speakerid
_NOTHING = frozenset(("", "none", "null", "nan", "n/a", "na", "unknown", "?", "-"))


@dataclass(frozen=True, slots=True)
class Asked:
    """Columns that a person named: of the label, and of our fields (field, column)."""

    label: str | None = None
    fields: tuple[tuple[str, str], ...] = ()


NOTHING_ASKED = Asked()


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a corpus. `label`: those with the label, of which the first that a record has counts; may be empty.

    The label is settled once for all tables; other fields are found in each record by its own names. `why`: why this
    column is the label, where that was decided here. `names`: the columns of all tables; `fields`: field and column, of
    those that were asked for and are there.
    """

    label: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def kept_apart(self) -> list[str]:
        """Return the columns that nothing maps, in order, with the parameter that would map each if a name is near."""
        told = {field_of(name) for name in self.names} | {field for field, _ in self.fields}
        used = {*self.label, *(column for _, column in self.fields)}
        rest = [name for name in self.names if name not in used and field_of(name) is None and not is_technical(name)]
        return [name + _advice(name, told) for name in rest]


def match_columns(
    columns: Iterable[str], asked: Asked, where: str, *, guess: bool = True, files: bool = False
) -> Columns:
    """Find the label among the `columns` of all tables; `asked` names a column (or one of our fields) that is to be it.

    Without it the label is what is called so; else, when exactly one column names nothing else, that one (`guess`),
    but for an id: one label a clip teaches nothing. `files`: a column that was asked for may name the recordings.
    Raises CorpusError when the label that was asked for is no column of `where`.
    """
    names = tuple(columns)
    fields = tuple(
        (field, name) for field, column in asked.fields if files or field != "file" for name in _called(column, names)
    )
    if asked.label is not None:
        return Columns(_label_columns(asked.label, names, where), "", names, fields)
    mapped = {column for _, column in fields}
    if found := tuple(name for name in names if field_of(name) == "label" and name not in mapped):
        return Columns(found, "", names, fields)
    rest = [name for name in names if field_of(name) is None and not is_technical(name) and name not in mapped]
    if not guess or len(rest) != 1:
        return Columns((), "", names, fields)
    if _ID.search(rest[0]):
        return Columns((), no_label(rest[0], "is an id by its name"), names, fields)
    why = f"column '{rest[0]}' is the label, as the only one that names nothing else"
    return Columns((rest[0],), why, names, fields)


def field_of(column: str) -> str | None:
    """Return the field that a column of this name holds, or None."""
    return _FIELDS.get(plain_name(column))


def is_technical(column: str) -> bool:
    """Return whether a column of this name holds technical facts about a file."""
    return plain_name(column) in _TECHNICAL


def no_label(column: str, why: str) -> str:
    """Return why the only column that could be the label is not taken for it."""
    return f"no column is a label: '{column}' {why} (ingest.label={column} takes it nonetheless)"


def row_from(record: Mapping[str, Any], columns: Columns) -> Row:
    """The row of one record, by its own names: the next table, or line, may have others.

    Of two names for one field the first that is not null counts. Of a list of one its element counts. Unknown words
    become None, values that are not ours are kept as attributes.
    """
    fields = {
        field: names[0] if len(names) == 1 else next((name for name in names if _told(record[name])), names[0])
        for field, names in _fields(tuple(record), columns.fields).items()
    }
    label = next((name for name in columns.label if name in record), None)
    used = {*fields.values(), label}
    extra = {name: text for name, raw in record.items() if name not in used and (text := clean(raw)) is not None}

    def value(field: str) -> str | None:
        name = fields.get(field)
        return None if name is None else text_of(_alone(record.get(name)))

    words = value("licence")
    split, licence = split_of(value("split")), licence_of(words)
    extra |= {"split": value("split") or ""} if clean(value("split")) and split is None else {}
    if words and clean(words) and words.lower() != str(licence).lower():
        extra["licence"] = words  # what it was read as is ours, what it says is the corpus's
    path, language = value("file") or "", value("language")
    return Row(
        name=path,
        path=path,
        side=side_of(clean(record.get("channel"))),
        text=value("text") or None,
        label=(text_of(_alone(record[label])) or None)
        if label is not None
        else None,  # a class may be called 'unknown'
        language=language if language == "nan" else clean(language),  # Min Nan
        accent=clean(value("accent")),
        gender=gender_of(clean(value("gender"))),
        age=clean(value("age")),
        speaker=clean(value("speaker")),
        session=clean(value("session")),
        licence=licence,
        split=split,
        attributes=extra,
    )


def ahead(own: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with what a layout knows itself: in front, so that no other name for the same field counts."""
    return {**own, **record, **own}


def clean(value: Any) -> str | None:
    """The value as text without outer spaces; None for what only says that nothing is known."""
    text = text_of(value)
    return None if text is None or text.lower() in _NOTHING else text


def gender_of(value: str | None) -> str | None:
    """One spelling for the common ones; others stay as they were told."""
    return None if value is None else _GENDERS.get(value.lower(), value)


def split_of(value: str | None) -> str | None:
    """train, dev or test; None for any other word."""
    return None if value is None else SPLIT_WORDS.get(value.lower())


def licence_of(value: str | None) -> str | None:
    """SPDX spelling, 'unknown' for a word that says so or is no licence, None where nothing is said."""
    return None if not value else understood(value) or UNKNOWN


def _label_columns(label: str, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return the columns of exactly this name, then of other spellings, then other names for the same field."""
    plain = plain_name(label)
    alike = [name for name in names if plain_name(name) == plain]
    field = [name for name in names if field_of(name) == plain != "file"]
    found = tuple(dict.fromkeys([name for name in names if name == label] + alike + field))
    if not found:
        raise CorpusError(
            f"ingest.label: '{label}' is no column of {where}{nearest(label, names)} (it has {', '.join(names)})"
        )
    return found


@lru_cache(maxsize=8)  # of one table all records have the same names
def _fields(names: tuple[str, ...], given: tuple[tuple[str, str], ...]) -> dict[str, list[str]]:
    """Return the columns of each field but the label among `names`: those `given`, else found by their names."""
    found: dict[str, list[str]] = {}
    for told, column in given:
        if column in names:
            found.setdefault(told, []).append(column)
    taken = {column for columns in found.values() for column in columns}
    by_name: dict[str, list[str]] = {}
    for name in names:
        field = field_of(name)
        if field not in (None, "label") and field not in found and name not in taken:
            by_name.setdefault(str(field), []).append(name)
    return found | by_name


def text_of(value: Any) -> str | None:
    """The value as text without outer spaces; None where it is null (see above)."""
    if isinstance(value, str):  # nearly all are
        text = value.strip()
        return None if text in NEVER_A_WORD else text
    match value:
        case None:
            return None
        case dict() | list() if not value:
            return None
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case float() if not math.isfinite(value):
            return None
        case float() if value.is_integer():
            text = str(int(value))
        case _:
            text = str(value).strip()
    return None if text in NEVER_A_WORD else text


def _told(value: Any) -> bool:
    return text_of(_alone(value)) is not None


def _alone(value: Any) -> Any:
    """The element of a list of one, however deep."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _called(column: str, names: tuple[str, ...]) -> list[str]:
    """Return the `names` that differ from `column` in spelling only, itself first: each table has its own spelling."""
    alike = [name for name in names if plain_name(name) == plain_name(column)]
    return sorted(alike, key=lambda name: name != column)


def _advice(name: str, told: set[str | None]) -> str:
    """Return the parameter that maps a column to the field of the nearest name; none where another column holds it."""
    near = difflib.get_close_matches(plain_name(name), _FIELDS, n=1, cutoff=_NEAR)
    field = _FIELDS[near[0]] if near else None
    return "" if field in (None, "label", *told) else f" (ingest.columns.{field}={name} takes it for the {field})"


def plain_name(name: str) -> str:
    """The name without its case and what separates its words."""
    return _BETWEEN.sub("", name).lower()
