"""What the shards hold: tar by tar, and of one clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allears.errors import CorpusError, StaleError, nearest
from allears.frames import to_hours, to_seconds
from allears.shards.clips import ClipTable, read_clips
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.shards.strings import Strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a tar holds. `megabytes` (10^6) of the file; None when it is missing."""

    shard: str
    clips: int
    hours: float
    megabytes: float | None


def contents(shard_set: ShardSet) -> Iterator[Held]:
    """The tars in the order of the index."""
    index = read_index(shard_set)
    for number, shard in enumerate(index.shards):
        places_n = index.places_of(number)
        path = shard_set.folder / shard
        yield Held(
            shard=shard,
            clips=len(places_n),
            hours=to_hours(to_seconds(int(index.samples_N[places_n].sum()), shard_set.sample_rate_hz)),
            megabytes=path.stat().st_size / 1e6 if path.exists() else None,
        )


def place_of(index: Index, clip: str, corpus: str) -> int:
    """Where the clip is in the index. CorpusError with the nearest name when it is not there."""
    if clip not in index.position:
        raise CorpusError(
            f"the shards of corpus '{corpus}' have no clip '{clip}'{nearest(clip, index.clips) or '.'} "
            "`allears trace CLIP` says what became of a clip that is not in them"
        )
    return index.position[clip]


def facts(shard_set: ShardSet, index: Index, table: ClipTable, place: int) -> dict[str, Any]:
    """All that index and table of clips know of the clip at `place`."""
    samples = int(index.samples_N[place])
    where = {
        "clip": index.clips[place], "shard": index.shards[int(index.shard_N[place])],
        "offset": int(index.offset_N[place]), "length": int(index.length_N[place]), "samples": samples,
        "sample_rate_hz": shard_set.sample_rate_hz, "seconds": to_seconds(samples, shard_set.sample_rate_hz),
        "sha256": index.sha256[place], "pcm_sha256": index.pcm_sha256[place],
    }  # fmt: skip
    return table.row(place) | where


def read_table(clips: Path, index: Index) -> ClipTable:
    """The table of clips of these shards. StaleError when it is of others."""
    table = read_clips(clips)
    if Strings.of(table.arrow("clip")) != index.clips:
        raise StaleError(
            f"{clips} lists {len(table)} clips, the shards hold {len(index.clips)} or others: the two are of different "
            "versions; run `kedro run --pipeline shard`, then this command again"
        )
    return table


def to_json(held: Held) -> dict[str, Any]:
    """As JSON."""
    return asdict(held)
