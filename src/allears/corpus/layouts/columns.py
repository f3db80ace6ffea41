"""Column names of other people's tables, mapped to ours; the rest is kept as attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allears.corpus.layouts.row import Row
from allears.corpus.layouts.sides import side_of
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
    "sampling_rate", "channel", "channels", "md5", "sha256", "url",
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
    """Which columns of a corpus are its label: the first of them that a record has; empty where nothing is.

    It is settled once for all tables; what else a column tells, each record says by its own names. `why` says, where it
    was decided here, what became the label.
    """

    label: tuple[str, ...]
    why: str


def match_columns(columns: Iterable[str], label: str | None, where: str, *, guess: bool = True) -> Columns:
    """Find the label among the `columns` of all tables; `label` names a column (or one of our fields) that is to be it.

    Without it the label is what is called so; else, when exactly one column names nothing else, that one (`guess`),
    but for an id: one label a clip teaches nothing.
    Raises CorpusError when `label` is no column of `where`.
    """
    names = tuple(columns)
    if label is not None:
        return Columns(_label_columns(label, names, where), "")
    if found := tuple(name for name in names if field_of(name) == "label"):
        return Columns(found, "")
    rest = [name for name in names if field_of(name) is None and _plain(name) not in _TECHNICAL]
    if not guess or len(rest) != 1:
        return Columns((), "")
    if _ID.search(rest[0]):
        return Columns((), no_label(rest[0], "is an id by its name"))
    return Columns((rest[0],), f"column '{rest[0]}' is the label, as the only one that names nothing else")


def field_of(column: str) -> str | None:
    """Which field of ours a column of this name tells."""
    return _FIELDS.get(_plain(column))


def no_label(column: str, why: str) -> str:
    """Why the only column that could be the label is not taken for it."""
    return f"no column is a label: '{column}' {why} (ingest.label={column} takes it nonetheless)"


def row_from(record: Mapping[str, Any], columns: Columns) -> Row:
    """The row of one record, by its own names: the next table, or line, may have others.

    Of two names for one field the first that is not null counts. Unknown words become None, values that are not ours
    are kept as attributes.
    """
    fields = {
        field: next((name for name in names if record[name] is not None), names[0])
        for field, names in _fields(tuple(record)).items()
    }
    label = next((name for name in columns.label if name in record), None)
    used = {*fields.values(), label}
    extra = {name: text for name, raw in record.items() if name not in used and (text := clean(raw)) is not None}

    def value(field: str) -> str | None:
        return _text(record.get(fields.get(field, "")))

    words = value("licence")
    split, licence = split_of(value("split")), licence_of(words)
    extra |= {"split": value("split") or ""} if clean(value("split")) and split is None else {}
    if words and clean(words) and words.lower() != str(licence).lower():
        extra["licence"] = words  # what it was read as is ours, what it says is the corpus's
    path = value("file") or ""
    return Row(
        name=path,
        path=path,
        side=side_of(clean(record.get("channel"))),
        text=value("text") or None,
        label=(_text(record[label]) or None) if label is not None else None,  # a class may be called 'unknown'
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


def ahead(own: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with what a layout knows itself: in front, so that no other name for the same field counts."""
    return {**own, **record, **own}


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


def _label_columns(label: str, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """What is called exactly so, then what is written otherwise, then other names for the same field."""
    plain = _plain(label)
    alike = [name for name in names if _plain(name) == plain]
    field = [name for name in names if field_of(name) == plain != "file"]
    found = tuple(dict.fromkeys([name for name in names if name == label] + alike + field))
    if not found:
        raise CorpusError(
            f"ingest.label: '{label}' is no column of {where}{nearest(label, names)} (it has {', '.join(names)})"
        )
    return found


@lru_cache(maxsize=8)  # of one table all records have the same names
def _fields(names: tuple[str, ...]) -> dict[str, list[str]]:
    """Which of `names` tell each field; the label is settled elsewhere."""
    found: dict[str, list[str]] = {}
    for name in names:
        if (field := field_of(name)) not in (None, "label"):
            found.setdefault(str(field), []).append(name)
    return found


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (value if isinstance(value, str) else str(value)).strip()


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
