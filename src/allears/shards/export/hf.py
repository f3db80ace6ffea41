"""Parquet as Hugging Face reads it: a struct `audio {bytes, path}`, and the types of its features in the metadata.

`load_dataset("parquet", data_dir=FOLDER)` and `load_dataset(FOLDER)` find the splits by the names of the files.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allears.shards.export.source import Piece, Source
from allears.storage.files import atomic_path

FILE_BYTES = 500_000_000  # of audio in a file; the Hub's advice
ROWS = 100  # a row group, which is read as a whole: the same
SPLITS = {"dev": "validation"}  # Hugging Face's name
TEXTS = (
    "text", "label", "language", "accent", "gender", "age", "speaker", "group", "session", "licence", "attributes",
    "split",
)  # fmt: skip
TYPES = {pa.string(): "string", pa.float64(): "float64", pa.bool_(): "bool"}
SCHEMA = pa.schema(
    [
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("clip", pa.string()),
        *((name, pa.string()) for name in TEXTS),
        ("seconds", pa.float64()),
        ("keep", pa.bool_()),
        ("weight", pa.float64()),
    ]
)


def pieces(source: Source) -> list[Piece]:
    """Files of about half a gigabyte, each of one split."""
    found = []
    for split, places_n in source.splits.items():
        ends_n = np.cumsum(source.reader.index.length_N[places_n])
        files = np.split(places_n, np.flatnonzero(np.diff(ends_n // FILE_BYTES)) + 1)
        for number, mine in enumerate(files):
            name = f"data/{SPLITS.get(split, split)}-{number:05d}-of-{len(files):05d}.parquet"
            found.append(Piece(name, partial(_write, source, mine)))
    return found


def features(rate_hz: int) -> dict[str, Any]:
    """The types of the columns, as `datasets` writes them down."""
    values = {field.name: {"dtype": TYPES[field.type], "_type": "Value"} for field in SCHEMA if field.name != "audio"}
    return {"audio": {"sampling_rate": rate_hz, "_type": "Audio"}, **values}


def _write(source: Source, places_n: NDArray[np.int64], file: Path) -> None:
    info = {"info": {"features": features(source.reader.shard_set.sample_rate_hz)}}
    schema = SCHEMA.with_metadata({"huggingface": json.dumps(info)})
    texts = [field.name for field in SCHEMA if field.type == pa.string()]
    compression = {field.name: "zstd" for field in SCHEMA if field.name != "audio"} | {"audio.path": "zstd"}
    with (
        atomic_path(file) as temporary,
        pq.ParquetWriter(temporary, schema, compression=compression, use_dictionary=texts) as writer,
    ):
        for first in range(0, len(places_n), ROWS):
            rows = [_row(source, place) for place in places_n[first : first + ROWS].tolist()]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=ROWS)


def _row(source: Source, place: int) -> dict[str, Any]:
    clip = source.reader.index.clips[place]
    known = source.known(place, (*TEXTS, "keep", "weight"))
    audio = {"bytes": source.reader.flac(place), "path": f"{clip}.flac"}
    return {"audio": audio, "clip": clip, "seconds": source.seconds(place), **known}
