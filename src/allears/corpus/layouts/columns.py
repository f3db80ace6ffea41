"""Column names of other people's tables, mapped to ours; the rest is kept as attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from allears.corpus.layouts.row import Row
from allears.corpus.licences import UNKNOWN, understood
from allears.errors import CorpusError, nearest

_NAMES: dict[str, tuple[str, ...]] = {
    "file": ("file_name", "filename", "file", "path", "audio", "audio_path", "audio_filepath"),
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
_FIELDS = {name: field for field, names in _NAMES.items() for name in names}
# facts about a file, never what somebody wants to predict
_TECHNICAL = frozenset((
    "id", "index", "idx", "duration", "duration_s", "length", "num_samples", "n_samples", "sample_rate",
    "sampling_rate", "channels", "md5", "sha256", "url",
))  # fmt: skip
# utt_id, clip-id, fileId, uttid, uuid; not valid, grid or hybrid
_ID = re.compile(
    r"(?i:(?:^|[_\W])(?:id|[ug]uid)$|^(?:utt|utterance|clip|file|sentence|segment|sample|audio|rec|recording)id$)|[a-z]I[Dd]$"
)
_SPLITS = {
    "train": "train", "training": "train",
    "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "devel": "dev", "development": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
_GENDERS: dict[str, str | None] = {
    "m": "male", "male": "male", "man": "male", "male_masculine": "male",
    "f": "female", "female": "female", "woman": "female", "female_feminine": "female",
    "do_not_wish_to_say": None,  # Common Voice since 17
}  # fmt: skip
_NOTHING = frozenset(("", "none", "null", "nan", "n/a", "na", "unknown", "?", "-"))


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table is which field of ours. `why` says, where it was decided here, what became the label."""

    fields: dict[str, str]
    label: str | None
    why: str


def match_columns(columns: Iterable[str], label: str | None, where: str, *, guess: bool = True) -> Columns:
    """Map `columns`; `label` names a column (or one of our fields) that is to be the label.

    Without it the label is the column called so; else, when exactly one column names nothing else, that one (`guess`),
    but for an id: one label a clip teaches nothing.
    Raises CorpusError when `label` is no column of `where`.
    """
    names = list(columns)
    fields: dict[str, str] = {}
    for name in names:
        field = _FIELDS.get(_plain(name))
        if field is not None and field not in fields:
            fields[field] = name
    found = fields.pop("label", None)
    if label is not None:
        return Columns(fields, _label_column(label, names, fields, where), "")
    if found is not None:
        return Columns(fields, found, "")
    rest = [name for name in names if name not in fields.values() and _plain(name) not in _TECHNICAL]
    if not guess or len(rest) != 1:
        return Columns(fields, None, "")
    if _ID.search(rest[0]):
        return Columns(fields, None, no_label(rest[0], "is an id by its name"))
    return Columns(fields, rest[0], f"column '{rest[0]}' is the label, as the only one that names nothing else")


def no_label(column: str, why: str) -> str:
    """Why the only column that could be the label is not taken for it."""
    return f"no column is a label: '{column}' {why} (ingest.label={column} takes it nonetheless)"


def row_from(record: Mapping[str, Any], columns: Columns) -> Row:
    """The row of one record; unknown words become None, values that are not ours are kept as attributes."""
    used = set(columns.fields.values()) | {columns.label}
    extra = {name: text for name, raw in record.items() if name not in used and (text := clean(raw)) is not None}

    def value(field: str) -> str | None:
        return _text(record.get(columns.fields.get(field, "")))

    words = value("licence")
    split, licence = split_of(value("split")), licence_of(words)
    extra |= {"split": value("split") or ""} if clean(value("split")) and split is None else {}
    if words and clean(words) and words.lower() != str(licence).lower():
        extra["licence"] = words  # what it was read as is ours, what it says is the corpus's
    path = value("file") or ""
    return Row(
        name=path,
        path=path,
        text=value("text") or None,
        label=(_text(record.get(columns.label)) or None) if columns.label else None,  # a class may be called 'unknown'
        language=clean(value("language")),
        accent=clean(value("accent")),
        gender=gender_of(clean(value("gender"))),
        age=clean(value("age")),
        speaker=clean(value("speaker")),
        session=clean(value("session")),
        licence=licence,
        split=split,
        attributes=extra,
    )


def clean(value: Any) -> str | None:
    """The value as text without outer spaces; None for what only says that nothing is known."""
    text = _text(value)
    return None if text is None or text.lower() in _NOTHING else text


def gender_of(value: str | None) -> str | None:
    """One spelling for the common ones; others stay as they were told."""
    return None if value is None else _GENDERS.get(value.lower(), value)


def split_of(value: str | None) -> str | None:
    """train, dev or test; None for any other word."""
    return None if value is None else _SPLITS.get(value.lower())


def licence_of(value: str | None) -> str | None:
    """SPDX spelling, 'unknown' for a word that says so or is no licence, None where nothing is said."""
    return None if not value else understood(value) or UNKNOWN


def _label_column(label: str, names: list[str], fields: Mapping[str, str], where: str) -> str:
    by_plain = {_plain(name): name for name in names} | {
        field: name for field, name in fields.items() if field != "file"
    }
    if label in names:
        return label
    if _plain(label) in by_plain:
        return by_plain[_plain(label)]
    raise CorpusError(
        f"ingest.label: '{label}' is no column of {where}{nearest(label, names)} (it has {', '.join(names)})"
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (value if isinstance(value, str) else str(value)).strip()


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
