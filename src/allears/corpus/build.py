"""From listing and probed files to manifest rows and quarantine; every row of the listing goes into one of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from allears.corpus import withdrawn
from allears.corpus.channels import channels_meant, check_channels
from allears.corpus.clips import Recording, clip_id, recording_at
from allears.corpus.corrections import Correction, corrected
from allears.corpus.deliveries import Before, join, seconds_of, splits_so_far
from allears.corpus.left import NONE_LEFT, Left, left_of
from allears.corpus.licences import joined
from allears.corpus.listing import COLUMNS as LISTING_COLUMNS
from allears.corpus.manifest import COLUMNS, NO_GAPS, Gaps, Manifest, parts_digest
from allears.corpus.probe import Probed
from allears.corpus.remarks import Remarks
from allears.corpus.segment import OF_WHOLE, Span, duration_slack_s, past_end_s, pauses, pieces, settled, span
from allears.corpus.speech import NOT_HEARD, Heard, Side, sides
from allears.corpus.splits import carve
from allears.corpus.withdrawn import Refused
from allears.errors import AudioError, CorpusError
from allears.params.ingest import IngestParams
from allears.storage.tables import records, table_digest, write_parquet
from allears.text.scripts import primary_language

QUARANTINE_COLUMNS = ("clip", "source", "path", "stage", "reason", "message")
ROWS_PER_PART = 200_000
REFUSED = Refused()
_OF_A_PERSON = ("text", "speaker", "gender", "age", "accent")
_KNOWN = ("text", "label", "language", "accent", "gender", "age", "speaker", "session", "attributes")


@dataclass(frozen=True, slots=True)
class Built:
    """All manifest rows (in memory), the quarantine, how many listed rows became clips, and what of those rows is in no
    clip; `idle`: corrections of clips that have left the corpus; `remarks`: where corpus and recordings differ.
    """

    clips: pd.DataFrame
    quarantine: pd.DataFrame
    rows_used: int
    gaps: Gaps
    idle: int = 0
    remarks: Remarks = field(default_factory=Remarks)


def build(
    listing: pd.DataFrame, probed: Mapping[Recording, Probed], params: IngestParams, before: Before | None = None,
    refused: Refused = REFUSED, corrections: Sequence[Correction] = (), heard: Heard = NOT_HEARD,
    left: Left = NONE_LEFT,
) -> Built:  # fmt: skip
    """Make the rows, laid over those of the manifest `before`; `heard`: where long recordings hold speech; `left`: what
    was there before `before`. CorpusError for a correction of a clip that never was.

    Two sums are checked: rows listed = used + quarantined; seconds of those used = of the clips + gaps.
    """
    clips: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    used, given_s, gaps = 0, 0.0, NO_GAPS
    listing = channels_meant(listing, probed)
    channels = check_channels(listing, probed, params.channels)
    known = _Known(
        probed, channels.doubts, _slacks_s(listing), remarks=Remarks(mixed=channels.mixed, unclear=channels.unclear)
    )
    for record in records(listing[list(LISTING_COLUMNS)]):
        try:
            made, row_s, row_gaps = _clips(record, known, params, refused, heard)
            clips += made
            given_s += row_s
            gaps += row_gaps
            used += 1
        except _Rejected as rejected:
            rejects.append(_quarantined(record, rejected))
    if used + len(rejects) != len(listing):  # pragma: no cover  the promise of this module
        raise CorpusError(f"{len(listing)} rows were listed, but {used} used and {len(rejects)} quarantined")
    _check_seconds(given_s, clips, gaps)
    table = join(before, pd.DataFrame(clips, columns=list(COLUMNS)))
    applied = _applied(corrections, table, before, left)
    table = corrected(table, applied)
    if someone := {one.clip for one in applied if one.column == "speaker"}:
        rows = table["clip"].isin(list(someone))
        table.loc[rows, "group"] = [_group(record) for record in records(table[rows])]
    recordings = _shared_recordings(table)
    table["session"] = table["session"].fillna(recordings)
    shared = _within_source(table, recordings) if recordings.notna().any() else None
    table["split"], table["split_origin"] = carve(
        [None if pd.isna(split) else split for split in table["split"]], list(table["group"]),
        dev=params.splits.dev, test=params.splits.test, seed=params.splits.seed, known=splits_so_far(before, table),
        sessions_N=_within_source(table, table["session"]), recordings_N=shared, strata_N=_strata(table),
    )  # fmt: skip
    quarantine = pd.DataFrame(rejects, columns=list(QUARANTINE_COLUMNS)).astype("string")
    return Built(table, quarantine, used, gaps, len(corrections) - len(applied), known.remarks)


def check_share(built: Built, max_share: float, corpus: str) -> None:
    """Raise CorpusError when too much went to quarantine, or when nothing is left. What was withdrawn is no fault."""
    faulty = built.quarantine[built.quarantine["reason"] != withdrawn.REASON]
    bad, rows = len(faulty), built.rows_used + len(faulty)
    if built.rows_used > 0 and bad <= max_share * rows:
        return
    reasons = ", ".join(f"{count} × {reason}" for reason, count in Counter(built.quarantine["reason"]).most_common())
    first = " | ".join(built.quarantine.drop_duplicates("reason")["message"].head(3))
    start = f"corpus '{corpus}': {bad} of {rows} rows cannot be used ({reasons}). First of each: {first}. "
    if built.rows_used == 0:
        raise CorpusError(start + "Nothing is left to work with: check the path, the layout and the files.")
    raise CorpusError(
        start + f"That is more than ingest.max_quarantine_share={max_share:g}: check the path and the layout, or raise "
        "that share when you know the files are bad."
    )


def write_manifest(
    clips: pd.DataFrame, folder: Path, deliveries: tuple[float, ...] | None = None, parent: str | None = None
) -> Manifest:
    """Write `clips` as validated parts into `folder`, none of two deliveries, so that those of earlier ones stay.

    A part is named by its digest, so none is taken for another. `deliveries`: as in Manifest; None: those of `clips`.
    """
    from allears.corpus.schema import SCHEMA

    names, digests = [], []
    whole: pd.DataFrame = SCHEMA.validate(clips.reset_index(drop=True), lazy=True)
    for delivery, rows in whole.groupby("delivery", sort=True):
        for number, first in enumerate(range(0, len(rows), ROWS_PER_PART)):
            part = rows.iloc[first : first + ROWS_PER_PART].reset_index(drop=True)
            name = f"part-{delivery:05d}-{number:03d}-{table_digest(part)[:12]}.parquet"
            if not (folder / name).exists():
                write_parquet(folder / name, part)
            names.append(name)
            digests.append(table_digest(part.drop(columns="root")))  # where it lies is no part of what it is
    deliveries = seconds_of(whole) if deliveries is None else deliveries
    return Manifest(folder, tuple(names), len(whole), parts_digest(digests), deliveries, parent)


def _check_seconds(given_s: float, clips: Sequence[Mapping[str, Any]], gaps: Gaps) -> None:
    clips_s = sum(clip["end_s"] - clip["start_s"] for clip in clips)
    if abs(given_s - clips_s - gaps.pauses_s - gaps.withdrawn_s) > 1e-6 * max(given_s, 1.0):  # pragma: no cover
        raise CorpusError(f"{given_s} s were listed, but {clips_s} s are in clips and {gaps} in none")


def _applied(
    corrections: Sequence[Correction], table: pd.DataFrame, before: Before | None, left: Left
) -> list[Correction]:
    """Those of clips that are there. CorpusError for one of a clip that never was."""
    if not corrections:
        return []
    was = set() if before is None else set(before.clips["clip"])
    gone = left_of(((one.clip, one.where) for one in corrections), set(table["clip"]), was, left)
    return [one for one in corrections if one.clip not in gone]


class _Rejected(Exception):  # noqa: N818  not an error of the run
    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.stage, self.reason = stage, reason


@dataclass(slots=True)
class _Known:
    """Facts of the recordings, doubts about their channels, slack of each source's durations, and what is noted."""

    facts: Mapping[Recording, Probed]
    doubts: Mapping[tuple[Recording, bool], tuple[str, str]]
    slack_s: Mapping[str, float]
    clips: set[str] = field(default_factory=set)
    remarks: Remarks = field(default_factory=Remarks)

    def take(self, record: dict[str, Any], clips: Sequence[dict[str, Any]]) -> None:
        """Take the clips of a row; a second row about the same piece of a file is rejected."""
        if any(clip["clip"] in self.clips for clip in clips):
            why = f"{record['path']}: this piece of it was described before; the first counts"
            raise _Rejected("segment", "duplicate_id", why)
        self.clips.update(clip["clip"] for clip in clips)

    def note(
        self, record: dict[str, Any], given: tuple[float | None, float | None], probed: Probed, slack_s: float
    ) -> None:
        """Note where the times of a row that was used and the end of its file differ; `given`: as they were listed."""
        duration = given[0] is None and given[1] is not None
        if duration and record["end_s"] is not None:
            self.remarks.beginnings.add(probed.duration_s - record["end_s"], record["path"])
        past_s = past_end_s(probed.duration_s, given[1])
        self.remarks.note_past(past_s, record["path"], whole=duration, slack_s=slack_s)


def _slacks_s(listing: pd.DataFrame) -> dict[str, float]:
    """The slack of each source whose rows give durations without a start."""
    durations = listing.loc[listing["start_s"].isna() & listing["end_s"].notna(), ["source", "end_s"]]
    return {str(source): duration_slack_s(rows) for source, rows in durations.groupby("source")["end_s"]}


def _clips(
    record: dict[str, Any], known: _Known, params: IngestParams, refused: Refused, heard: Heard
) -> tuple[list[dict[str, Any]], float, Gaps]:
    """The clips of a row, the seconds that it speaks of (of each side), and those that are in no clip."""
    recording, probed = _readable(record, known)
    channel = record["channel"]
    given, slack_s = (record["start_s"], record["end_s"]), known.slack_s.get(record["source"], 0.0)
    start_s, end_s = settled(probed.duration_s, *given, slack_s)
    if (start_s, end_s) != given:
        record = record | {"start_s": start_s, "end_s": end_s}
    try:
        whole = span(probed.duration_s, start_s, end_s, min_s=params.min_duration_s)
        cuts = {side.channel: _cut(whole, heard, side, params) for side in sides(recording, channel, probed, params)}
    except AudioError as error:
        raise _Rejected("segment", error.reason, f"{record['path']}: {error}") from None
    if not any(cuts.values()):
        raise _Rejected("segment", "no_speech", f"{record['path']}: no speech was found in it")
    clips: list[dict[str, Any]] = []
    withdrawn_s = 0.0
    for each, cut in cuts.items():
        one = record if each == channel else _of_channel(record, each)
        for piece in cut:
            if refused.clip(probed.sha256, each, piece.start_s, piece.end_s):
                withdrawn_s += piece.end_s - piece.start_s
            else:
                clips.append(_clip(one, probed, piece, _group(record)))
    if not clips:
        raise _Rejected("probe", withdrawn.REASON, withdrawn.MESSAGE)
    known.take(record, clips)
    if given[1] is not None:
        known.note(record, given, probed, slack_s)
    given_s = len(cuts) * (whole.end_s - whole.start_s)
    return clips, given_s, Gaps(sum(pauses(cut, whole) for cut in cuts.values()), withdrawn_s)


def _readable(record: dict[str, Any], known: _Known) -> tuple[Recording, Probed]:
    """Return a row's recording and its facts; _Rejected for a line, a file or a channel that cannot be used."""
    if record["reason"] is not None:
        raise _Rejected("layout", record["reason"], record["message"])
    recording = recording_at(record["root"], record["path"], record["member"])
    probed = known.facts[recording]
    if probed.reason is not None:
        raise _Rejected("probe", probed.reason, probed.message or probed.reason)
    if known.doubts and (doubt := known.doubts.get((recording, record["channel"] is not None))):
        raise _Rejected("probe", *doubt)
    return recording, probed


def _cut(whole: Span, heard: Heard, side: Side, params: IngestParams) -> list[Span]:
    if params.segment == "none":
        return [whole]
    speech = heard.get(side)
    if isinstance(speech, AudioError):
        raise speech
    return pieces(whole, max_s=params.segment_max_s, speech=speech)


def _of_channel(record: dict[str, Any], channel: int | None) -> dict[str, Any]:
    """One side of a conversation: which of the two said the words, and is of that age, is not known."""
    attributes = record["attributes"]
    for name in _OF_A_PERSON:
        if record[name] is not None:
            attributes = _with(attributes, name + OF_WHOLE, record[name])
    return record | dict.fromkeys(_OF_A_PERSON) | {"channel": channel, "attributes": attributes}


def _clip(record: dict[str, Any], probed: Probed, piece: Span, group: str) -> dict[str, Any]:
    start, end = (record["start_s"], record["end_s"]) if piece.whole else (piece.start_s, piece.end_s)
    known = {name: record[name] for name in _KNOWN}
    if not piece.whole and known["text"] is not None:  # whose words are in which piece is not known
        known["attributes"] = _with(known["attributes"], "text" + OF_WHOLE, known["text"])
        known["text"] = None
    return {
        "clip": clip_id(
            record["source"], record["name"], record["path"], record["channel"], start, end, record["member"]
        ),
        "source": record["source"], "root": record["root"], "path": record["path"],
        "member": record["member"], "channel": record["channel"],
        "start_s": piece.start_s, "end_s": piece.end_s,
        "file_sha256": probed.sha256, "file_bytes": probed.bytes, "codec": probed.codec,
        "sample_rate_hz": probed.sample_rate_hz, "channels": probed.channels, "file_duration_s": probed.duration_s,
        "licence": joined(record["licence"], record["licence_of_source"]),
        "split": record["split"], "group": group,
    } | known  # fmt: skip


def _group(record: dict[str, Any]) -> str:
    """What must not be torn apart: the speaker, else the session, else the recording. Ids count within their source."""
    for kind, name in (("speaker", "speaker"), ("session", "session"), ("recording", "member"), ("recording", "path")):
        if record[name] is not None:
            return f"{record['source']}/{kind}/{record[name]}"
    raise AssertionError(record)  # pragma: no cover  a row has a path


def _shared_recordings(table: pd.DataFrame) -> pd.Series[str]:
    """The recording of each clip of one whose clips are of several groups; unknown for the others."""
    found = pd.Series(pd.NA, index=table.index, dtype="string")
    file = ["source", "path", "member"]
    several = table.loc[table.duplicated(file, keep=False), [*file, "group"]]
    pairs = several.drop_duplicates()
    shared = pairs.loc[pairs.duplicated(file, keep=False), file].drop_duplicates()
    rows = several.reset_index().merge(shared, on=file).set_index("index")
    found[rows.index] = rows["path"].where(rows["member"].isna(), rows["path"] + ":" + rows["member"].fillna(""))
    return found


def _within_source(table: pd.DataFrame, names: pd.Series[str]) -> list[str | None]:
    """Each clip's session or recording, which count within their source."""
    known = names.astype(object).where(names.notna(), None)
    return [None if name is None else f"{source}/{name}" for source, name in zip(table["source"], known, strict=True)]


def _strata(table: pd.DataFrame) -> list[tuple[str, ...]] | None:
    """Return the source and the language of each clip ('': unknown); None where all clips have the same."""
    if len(table[["source", "language"]].drop_duplicates()) <= 1:
        return None
    languages = table["language"].map(primary_language, na_action="ignore").fillna("")
    return list(zip(table["source"].astype(object), languages.astype(object), strict=True))


def _with(attributes: str | None, name: str, value: str) -> str:
    known: dict[str, str] = json.loads(attributes) if attributes else {}
    return json.dumps(known | {name: value}, ensure_ascii=False, sort_keys=True)


def _quarantined(record: dict[str, Any], rejected: _Rejected) -> dict[str, Any]:
    if rejected.reason == withdrawn.REASON:  # nothing is kept of it, not even its name
        return {
            "source": record["source"],
            "stage": rejected.stage,
            "reason": rejected.reason,
            "message": str(rejected),
        }
    span = (record["channel"], record["start_s"], record["end_s"])
    path = record["path"] or ""
    return {
        "clip": clip_id(record["source"], record["name"], path, *span, member=record["member"]),
        "source": record["source"], "path": path,
        "stage": rejected.stage, "reason": rejected.reason, "message": str(rejected),
    }  # fmt: skip
