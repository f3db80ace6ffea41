"""Candidates for copies, decoded again and held against each other: a fingerprint alone takes minimal pairs for copies
where a synthetic voice speaks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from allears.audio.alignment import RATE_HZ, least_correlation
from allears.audio.decode import DECODERS, mixed, resample
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, decoded_clips, fetch_clips
from allears.engine.mapping import map_batches
from allears.errors import AudioError
from allears.frames import to_samples
from allears.storage.digest import value_digest

VERSION = 2
MOST_S = 30.0  # of each clip: enough to tell
TOGETHER = 32  # pairs that a worker takes at once …
TOGETHER_IN_ARCHIVES = 200  # … and where each time an archive is read from its beginning
TIMEOUT_S = 3600.0  # for that

Floats = NDArray[np.float32]


class Pair(NamedTuple):
    """Two clips that may be one recording."""

    one: ClipRef
    other: ClipRef


def compare(pairs: Sequence[Pair], journal: Path, *, workers: int | None) -> NDArray[np.float64]:
    """`least_correlation` of each pair, NaN where one cannot be decoded; pairs in the journal are not decoded again."""
    outcomes = map_batches(
        _compare, pairs, key=_key, journal=journal, title="comparing waveforms", batches=_deal, workers=workers,
        timeout_s=TIMEOUT_S, prepare=_fetch,
    )  # fmt: skip
    return np.array([np.nan if outcome.result is None else outcome.result for outcome in outcomes], dtype=np.float64)


def _fetch(pairs: Sequence[Pair]) -> None:
    fetch_clips([ref for pair in pairs for ref in pair])


def _key(pair: Pair) -> str:
    clips = sorted(value_digest([ref.file_sha256, ref.channel, ref.start_s, ref.end_s]) for ref in pair)
    return value_digest([clips, VERSION, DECODERS])[:32]


def _deal(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Pairs whose clips lie in the same files come together."""
    inside = [pair for pair in pairs if pair.one.member or pair.other.member]
    outside = [pair for pair in pairs if not (pair.one.member or pair.other.member)]
    for some, most in ((inside, TOGETHER_IN_ARCHIVES), (outside, TOGETHER)):
        some.sort(key=lambda pair: (pair.one.file, pair.other.file, pair.one.start_s))
        yield from (some[at : at + most] for at in range(0, len(some), most))


def _compare(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, float | AudioError]]:
    heard: dict[ClipRef, Floats | AudioError] = {}
    for batch in batches(list(dict.fromkeys(ref for pair in pairs for ref in pair))):
        for ref, decoded in decoded_clips(batch):
            if isinstance(decoded, AudioError):
                heard[ref] = decoded
                continue
            audio_TC, rate_hz = decoded
            start_TC = audio_TC[: to_samples(MOST_S, rate_hz)].copy()  # a view would keep the whole clip
            heard[ref] = resample(mixed(start_TC), rate_hz, RATE_HZ)
    for pair in pairs:
        one, other = heard[pair.one], heard[pair.other]
        if isinstance(one, AudioError):
            yield pair, one
        elif isinstance(other, AudioError):
            yield pair, other
        else:
            yield pair, least_correlation(one, other)
