"""The clips' FLAC out of a copy of the tars in a bucket: asked for ahead, neighbours together, kept in a local cache.

The index on this machine says where each clip lies and which sha256 it has, which is checked on every way: from the
bucket and from the cache. So the batches are those of the tars themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from allears.errors import DamageError, StaleError, command
from allears.shards.ahead import Piece, pieces
from allears.shards.handle import ShardSet
from allears.shards.index import Index
from allears.storage.bucket import Bucket
from allears.storage.cache import Cache
from allears.storage.ranges import PATIENT, Patience, Ranges

MARKER = "copy.json"  # in the bucket: of which corpus and shards the copy is; written last
CACHE = "cache"  # beside the shards
IN_FLIGHT = 32  # requests
ROUND_BYTES = 64 << 20  # of FLAC that is asked for at a time; about two rounds are in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A copy of the shards at `url`, and where what is read of it is kept, if anywhere."""

    url: str
    cache: Cache | None = None
    patience: Patience = PATIENT
    round_bytes: int = ROUND_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """`requests` to the bucket, `retries` among them, `megabytes` (10^6) that came; clips that came `from_cache`, were
    `damaged` there and fetched again, or could not be written there (`not_cached`).
    """

    requests: int = 0
    retries: int = 0
    megabytes: float = 0.0
    from_cache: int = 0
    damaged: int = 0
    not_cached: int = 0


def remote_of(urls: Sequence[str], shard_set: ShardSet, index: Index, cache_gb: float) -> Remote | None:
    """The first of the copies at `urls` that is of these shards (`index` is theirs); None without any URL. Its cache is
    tidied up.

    StaleError says what lies at each URL when none is, StorageError that one cannot be read.
    """
    if not urls:
        return None
    said = []
    for url in urls:
        marker = read_marker(Bucket(url))
        if marker.get("shards") == shard_set.digest:
            return Remote(url=url, cache=_cache(shard_set, index, cache_gb))
        said.append(f"{url} {_holds(marker)}")
    corpus = shard_set.folder.absolute().parent.name
    raise StaleError(
        f"pretrain.shards_from names no copy of shards {shard_set.digest[:12]}: {'; '.join(said)}. Run "
        f"`{command('allears', 'shards', 'copy', corpus, urls[0])}`, which copies what is missing there"
    )


def read_marker(bucket: Bucket) -> dict[str, str]:
    """What a copy says of itself: `corpus` and `shards`, the latter empty while it is being changed. Empty: no copy."""
    data = bucket.content(MARKER)
    try:
        found = json.loads(data) if data is not None else {}
    except ValueError:
        found = {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def forget_cache(shards: Path) -> None:
    """Delete what was kept of copies. `shards`: the folder of the corpus's shards. StorageError when some stays."""
    Cache(shards / CACHE, 0).clear()


class RemoteTars:
    """FLAC by a clip's place in the index. Safe to use from several threads."""

    def __init__(self, index: Index, remote: Remote) -> None:
        self.index = index
        self.remote = remote
        self.round_bytes = remote.round_bytes
        self._ranges = Ranges(remote.url, remote.patience, IN_FLIGHT)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="bucket")
        self._coming: dict[int, _Coming] = {}
        self._lock = Lock()
        self._from_cache = 0

    def expect(self, places: Sequence[int]) -> None:
        """Ask for the clips at `places`, which are read next in about this order; each is held until it is read."""
        cache, sha256 = self.remote.cache, self.index.sha256
        missing = [place for place in places if cache is None or not cache.has(sha256[place])]
        with self._lock:
            asked = [place for place in missing if place not in self._coming]
            for piece in pieces(self.index, asked):
                future = self._pool.submit(self._fetch, piece)
                self._coming |= {place: _Coming(future) for place in piece.places}
            for place in missing:
                self._coming[place].times += 1

    def read(self, place: int) -> bytes:
        """The FLAC of the clip at `place`. DamageError and StorageError name URL, shard and bytes."""
        with self._lock:
            coming = self._coming.get(place)
            if coming is not None:
                coming.times -= 1
                if not coming.times:
                    del self._coming[place]
        if coming is not None:
            return _whole(coming.future.result()[place])
        kept = self.remote.cache.get(self.index.sha256[place]) if self.remote.cache is not None else None
        if kept is None:
            return _whole(self._fetch(pieces(self.index, [place])[0])[place])
        with self._lock:
            self._from_cache += 1
        return kept

    def damaged(self, place: int, found: str) -> DamageError:
        """The sentence for bytes that are not those of the index."""
        index, shard = self.index, self.index.shards[int(self.index.shard_N[place])]
        return DamageError(
            f"{self.remote.url}/{shard}, clip {index.clips[place]}, offset {int(index.offset_N[place])}: these are not "
            f"the bytes of the index: {found}. The copy was changed since it was made; delete {shard} there and run "
            "`allears shards copy` with this corpus and URL, which copies what is missing"
        )

    def traffic(self) -> Traffic:
        """What was asked so far."""
        ranges, cache = self._ranges, self.remote.cache
        return Traffic(
            requests=ranges.requests, retries=ranges.retries, megabytes=ranges.received / 1e6,
            from_cache=self._from_cache, damaged=cache.damaged if cache else 0,
            not_cached=cache.refused if cache else 0,
        )  # fmt: skip

    def close(self) -> None:
        """Ask for nothing any more, and wait for nothing."""
        self._ranges.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, piece: Piece) -> dict[int, bytes | DamageError]:
        """Place → FLAC of the clips of a piece. What comes wrong is asked for once more, then costs that clip alone."""
        index, tar = self.index, self.index.shards[piece.shard]
        data = memoryview(self._ranges.read(tar, piece.start, piece.end - piece.start))
        found: dict[int, bytes | DamageError] = {}
        for place in piece.places:
            offset, length = int(index.offset_N[place]), int(index.length_N[place])
            flac = bytes(data[offset - piece.start : offset - piece.start + length])
            if not self._right(place, flac):
                flac = self._ranges.read(tar, offset, length)
                if not self._right(place, flac):
                    found[place] = self.damaged(place, "their sha256 is another")
                    continue
            found[place] = flac
            if self.remote.cache is not None:
                self.remote.cache.put(index.sha256[place], flac)
        return found

    def _right(self, place: int, flac: bytes) -> bool:
        return hashlib.sha256(flac).hexdigest() == self.index.sha256[place]


class _Coming:
    """Clips that were asked for, and how often one of them will be read."""

    __slots__ = ("future", "times")

    def __init__(self, future: Future[dict[int, bytes | DamageError]]) -> None:
        self.future = future
        self.times = 0


def _whole(flac: bytes | DamageError) -> bytes:
    if isinstance(flac, DamageError):
        raise flac
    return flac


def _holds(marker: dict[str, str]) -> str:
    if not marker:
        return "holds no copy"
    if not marker.get("shards"):
        return "is being changed, or was left half copied"
    return f"holds shards {marker['shards'][:12]} of corpus '{marker.get('corpus')}'"


def _cache(shard_set: ShardSet, index: Index, cache_gb: float) -> Cache | None:
    """What left the corpus, by a withdrawal for example, leaves the cache here."""
    if not cache_gb:
        return None
    cache = Cache(shard_set.folder.parent / CACHE, int(cache_gb * 1e9))
    cache.prune(index.sha256)
    return cache
