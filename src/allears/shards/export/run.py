"""Shards as other toolkits like them: their audio byte by byte, and what is known of each clip beside it.

An export is a folder. `export.json` says first what it is going to be, `receipt.json` last that it is whole; each file
appears at once, so that a killed export goes on with the files that it has not got yet.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from allears.engine.threads import in_threads
from allears.errors import ConfigError, CorpusError
from allears.frames import to_hours, to_seconds
from allears.shards.clips import ClipTable
from allears.shards.contents import read_table
from allears.shards.export import hf, lhotse, nemo
from allears.shards.export.places import MARKER, note_outside
from allears.shards.export.source import Format, Piece, Source
from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from allears.storage.digest import file_digest, value_digest
from allears.storage.files import read_json, storage_error, write_json
from allears.storage.receipt import NAME as RECEIPT
from allears.storage.receipt import read_receipt, write_receipt

VERSION = 1


def export(
    shard_set: ShardSet, clips: Path, to: Format, folder: Path, *, everything: bool, outside_of: Path | None = None
) -> dict[str, Any]:
    """Export the kept clips (`everything`: all in the shards) to `folder`; what is there and the same is kept.

    `clips` is the table of clips. A folder that holds another export is emptied first; not one `outside_of` the folder
    of the corpus, which is noted there. Returns what was done: clips, hours, shards. Raises ConfigError when such a
    folder holds something else, CorpusError when no clip is to be exported, StaleError when table, index and shards are
    of different versions or damaged, StorageError when something cannot be read or written.
    """
    name = value_digest(["export", VERSION, to, shard_set.digest, file_digest(clips), everything])
    with ShardReader(shard_set) as reader:
        source = _source(reader, read_table(clips, reader.index), everything)
        places = np.concatenate([*source.splits.values(), np.zeros(0, dtype=np.int64)]).astype(np.int64)
        if not len(places):
            raise CorpusError("no clip is selected, so there is nothing to export; --all exports what is left out, too")
        if (notes := _begin(folder, name, to, outside_of)) is not None:
            return notes
        pieces = _pieces(to, source)
        for _ in in_threads(partial(_write, folder), pieces, title="Exporting"):
            pass
        samples = int(reader.index.samples_N[places].sum())
    notes = {
        "to": to, "clips": len(places), "hours": to_hours(to_seconds(samples, shard_set.sample_rate_hz)),
        "shards": shard_set.digest, "splits": {split: len(places_n) for split, places_n in source.splits.items()},
    }  # fmt: skip
    write_receipt(folder, name, notes)
    return notes


def _source(reader: ShardReader, table: ClipTable, everything: bool) -> Source:
    keep_N = np.array(table.column("keep"), dtype=bool) | everything
    split_N = np.array([split or "train" for split in table.column("split")])
    splits = {str(split): np.flatnonzero(keep_N & (split_N == split)) for split in ("train", "dev", "test")}
    return Source(
        reader=reader, table=table, splits={name: place_n for name, place_n in splits.items() if len(place_n)}
    )


def _pieces(to: Format, source: Source) -> list[Piece]:
    match to:
        case "lhotse":
            return lhotse.pieces(source)
        case "nemo":
            return nemo.pieces(source)
        case "hf":
            return hf.pieces(source)


def _begin(folder: Path, name: str, to: Format, outside_of: Path | None) -> dict[str, Any] | None:
    """What the export noted when it was finished; else None, and `folder` is ready for it (or for what is left)."""
    marker = folder / MARKER
    try:
        there = read_json(marker).get("identity") if marker.exists() else None
        if there == name and (notes := read_receipt(folder, name)) is not None:
            return notes
        if there != name and folder.exists() and any(folder.iterdir()):
            if outside_of is not None:
                holds = "an export of other shards or clips" if there else "files that are no export"
                raise ConfigError(f"{folder} holds {holds}: name an empty or a new folder with --out, or delete it")
            shutil.rmtree(folder)
        if outside_of is not None:
            note_outside(outside_of, folder, to)
        write_json(marker, {"identity": name})
        (folder / RECEIPT).unlink(missing_ok=True)
        for left in folder.rglob(".*.tmp"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    except OSError as error:
        raise storage_error(folder, error) from error
    return None


def _write(folder: Path, piece: Piece) -> None:
    if not (folder / piece.file).exists():
        piece.write(folder / piece.file)
