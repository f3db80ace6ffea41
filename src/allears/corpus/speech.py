"""Where there is speech in long recordings: what `ingest.segment=vad` cuts by. Heard once, and journalled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from allears.audio.decode import BLOCK_S, DECODERS, Decoder, Mono, chosen, mixed
from allears.audio.speech import DETECTOR, SpanSpec, speech_spans
from allears.corpus.channels import channels_meant
from allears.corpus.clips import Recording, recording_at
from allears.corpus.opening import fetch_recordings, opened
from allears.corpus.probe import Probed
from allears.corpus.segment import Stretch
from allears.engine.mapping import map_batches
from allears.errors import AudioError
from allears.frames import to_samples
from allears.params.ingest import IngestParams
from allears.storage.digest import value_digest
from allears.storage.tables import records

VERSION = 2
SPEC = SpanSpec()


class Side(NamedTuple):
    """A recording, or one of its channels (None: their mean)."""

    recording: Recording
    channel: int | None


Heard = Mapping[Side, list[Stretch] | AudioError]
NOT_HEARD: Heard = {}


def sides(recording: Recording, channel: int | None, probed: Probed, params: IngestParams) -> list[Side]:
    """What becomes clips: the channel that the corpus names, each channel (`ingest.channels=split`), or their mean."""
    split = channel is None and params.channels == "split" and probed.channels > 1
    return [Side(recording, each) for each in (range(probed.channels) if split else [channel])]


def to_hear(listing: pd.DataFrame, facts: Mapping[Recording, Probed], params: IngestParams) -> dict[Side, str]:
    """The sides of recordings too long for one clip, with the recording's digest; none unless `ingest.segment=vad`."""
    if params.segment != "vad":
        return {}
    listing = channels_meant(listing, facts)
    rows = listing.loc[listing["reason"].isna(), ["root", "path", "member", "channel"]].drop_duplicates()
    found: dict[Side, str] = {}
    for row in records(rows):
        recording = recording_at(row["root"], row["path"], row["member"])
        probed = facts[recording]
        if probed.reason is None and probed.duration_s > params.segment_max_s:
            found |= dict.fromkeys(sides(recording, row["channel"], probed, params), probed.sha256)
    return found


def find_speech(
    sha256: Mapping[Side, str], journal: Path, *, workers: int | None = None, spec: SpanSpec = SPEC
) -> dict[Side, list[Stretch] | AudioError]:
    """The spans of speech of each side, in order, or why it cannot be heard. `sha256`: the recording's digest."""

    def key(side: Side) -> str:
        return value_digest([VERSION, DETECTOR, DECODERS, sha256[side], side.channel, asdict(spec)])[:32]

    outcomes = map_batches(
        partial(_listen, spec=spec), list(sha256), key=key, journal=journal, title="finding speech", batches=_batches,
        workers=workers, timeout_s=7200.0, prepare=lambda sides: fetch_recordings([side.recording for side in sides]),
    )  # fmt: skip
    return {
        each.item: AudioError(each.reason, each.message or each.reason)
        if each.reason is not None
        else [(float(start), float(end)) for start, end in each.result]
        for each in outcomes
    }


def _batches(sides: Sequence[Side]) -> list[list[Side]]:
    """The sides of one file together, so that an archive is read once."""
    of_file: dict[Path, list[Side]] = {}
    for side in sides:
        of_file.setdefault(side.recording.file, []).append(side)
    return list(of_file.values())


def _listen(sides: Sequence[Side], spec: SpanSpec) -> Iterator[tuple[Side, list[Stretch] | AudioError]]:
    of_recording: dict[Recording, list[Side]] = {}
    for side in sides:
        of_recording.setdefault(side.recording, []).append(side)
    for recording, path in opened(list(of_recording)):
        for side in of_recording[recording]:
            try:
                yield side, path if isinstance(path, AudioError) else _spans(path, side.channel, spec)
            except AudioError as error:
                yield side, error


def _spans(path: Path, channel: int | None, spec: SpanSpec) -> list[Stretch]:
    decoder = Decoder(path)
    first_TC, rate_hz = decoder.piece(0.0, BLOCK_S)

    def blocks() -> Iterator[Mono]:
        block_TC = first_TC
        for number in itertools.count(1):
            yield mixed(chosen(block_TC, channel, path))
            if len(block_TC) < to_samples(BLOCK_S, rate_hz):
                return
            block_TC, _ = decoder.piece(number * BLOCK_S, (number + 1) * BLOCK_S)

    return list(speech_spans(blocks(), rate_hz, spec))
