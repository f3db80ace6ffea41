"""Merge small tars of a corpus: decide which, then let the writer move their bytes. Done again, it finishes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from allears.cli.withdrawal import finish
from allears.corpus.deliveries import manifest_of
from allears.corpus.manifest import Manifest
from allears.errors import StaleError
from allears.params.base import Paths
from allears.params.shard import ShardParams
from allears.pipelines.shard.nodes import write_shards
from allears.shards.handle import ShardSet, made_from
from allears.shards.index import read_index
from allears.shards.packing import Packing, merged, read_packing, write_packing
from allears.shards.writer import deal_deliveries
from allears.storage.files import read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Repacked:
    """Shards and number of tars before and after."""

    before: ShardSet
    after: ShardSet
    tars_before: int
    tars_after: int


def repack(paths: Paths, target_mb: float | None, min_shards: int | None, *, only_say: bool) -> Repacked:
    """Merge neighbouring tars up to `target_mb`, of a small corpus less, so that `min_shards` are left (None: as they
    were dealt). Labels go with their clips. `only_say`: nothing is changed, the shards `after` are those before.

    Raises StaleError when the shards are not those of the corpus as it is now.
    """
    finish(paths)
    manifest, verdicts, shard = _as_it_is(paths)
    if not only_say:
        _write(paths, manifest, verdicts, shard)  # one that was killed is finished first
    before = ShardSet.from_json(read_json(paths.shards / "shards.json"))
    packing, now = _packing(before, manifest, shard, target_mb, min_shards)
    tars = len(read_index(before).shards)
    left = tars - len(_joined(before, now)) if only_say else tars
    if only_say or now == packing:
        return Repacked(before=before, after=before, tars_before=tars, tars_after=left)
    write_packing(before.folder, now)
    after = _write(paths, manifest, verdicts, shard)
    return Repacked(before=before, after=after, tars_before=tars, tars_after=len(read_index(after).shards))


def _as_it_is(paths: Paths) -> tuple[Manifest, pd.DataFrame, ShardParams]:
    """Manifest, verdicts and the parameters of the shards that were made of them."""
    manifest, handle, verdicts = manifest_of(paths), paths.shards / "shards.json", paths.primary / "verdicts.parquet"
    first = f"run `kedro run --pipeline shard --params corpus={paths.corpus}` first"
    if manifest is None or not handle.exists() or not verdicts.exists():
        raise StaleError(f"corpus '{paths.corpus}' has no shards yet: {first}")
    table, state = pd.read_parquet(verdicts), read_json(handle)
    hard = set(table.loc[table["verdict"] == "hard", "clip"])
    if state.get("made_from") != made_from(manifest.digest, hard) or "dealt" not in state:
        raise StaleError(f"the shards of corpus '{paths.corpus}' are not of the corpus as it is now: {first}")
    return manifest, table, ShardParams(sample_rate_hz=state["sample_rate_hz"], **state["dealt"])


def _packing(
    shards: ShardSet, manifest: Manifest, shard: ShardParams, target_mb: float | None,
    min_shards: int | None,
) -> tuple[Packing, Packing]:  # fmt: skip
    """The packing that there is, and the one to come."""
    dealt = deal_deliveries(
        manifest.deliveries, target_mb=shard.target_mb, min_shards=shard.min_shards,
        sample_rate_hz=shard.sample_rate_hz,
    )  # fmt: skip
    packing, index = read_packing(shards.folder, dealt), read_index(shards)
    sizes = [int(index.length_N[index.places_of(number)].sum()) for number in range(len(index.shards))]
    most = min((target_mb or shard.target_mb) * 1e6, sum(sizes) / (min_shards or shard.min_shards))
    return packing, merged(packing, [_number(name) for name in index.shards], sizes, most)


def _joined(shards: ShardSet, packing: Packing) -> list[str]:
    """Tars that `packing` makes a part of the one before them."""
    inside = [range(first + 1, last + 1) for first, last in packing.together]
    return [name for name in read_index(shards).shards if any(_number(name) in one for one in inside)]


def _write(paths: Paths, manifest: Manifest, verdicts: pd.DataFrame, shard: ShardParams) -> ShardSet:
    state = write_shards(manifest, verdicts, shard, paths)
    write_json(paths.shards / "shards.json", state)
    return ShardSet.from_json(state)


def _number(tar: str) -> int:
    return int(Path(tar).stem.rpartition("-")[2])
