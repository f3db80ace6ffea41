"""Parts of a score table as parquet, written one by one, without pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from allears.storage.files import atomic_path

_COMMON = {
    "clip": pa.string(),
    "group": pa.string(),
    "reference": pa.string(),
    "prediction": pa.string(),
    "errors": pa.int64(),
    "total": pa.int64(),
}
PROBE = pa.schema(
    {
        "arm": pa.string(),
        "draw": pa.int64(),
        "layer": pa.int64(),
        "target": pa.string(),
        "share": pa.float64(),
        **_COMMON,
        "dev_errors": pa.int64(),  # of this arm, draw and layer on all dev clips: the best layer is chosen by it
        "dev_total": pa.int64(),
    }
)
SCORES = pa.schema(
    {
        "task": pa.string(),
        "target": pa.string(),
        "arm": pa.string(),
        "share": pa.float64(),
        "seed": pa.int64(),
        "fold": pa.string(),  # the group that was left out; '' when the corpus's own splits are used
        "learning_rate": pa.float64(),
        "head": pa.string(),
        **_COMMON,
    }
)
CURVES = pa.schema(
    {
        **{name: SCORES.field(name).type for name in SCORES.names[:8]},
        "step": pa.int64(),
        "seconds": pa.float64(),
        "dev_errors": pa.int64(),
        "dev_total": pa.int64(),
    }
)


def columns(fixed: Mapping[str, object], varying: Mapping[str, Sequence[object]], schema: pa.Schema) -> pa.Table:
    """A table whose `fixed` columns have one value and whose `varying` ones have one a row."""
    rows = len(next(iter(varying.values())))
    whole = {name: [value] * rows for name, value in fixed.items()} | {name: list(one) for name, one in varying.items()}
    return pa.table({name: whole[name] for name in schema.names}, schema=schema)


def write_table(path: Path, tables: Sequence[pa.Table], schema: pa.Schema) -> None:
    """Atomically replace `path` with the rows of `tables`."""
    with atomic_path(path) as temporary:
        pq.write_table(pa.concat_tables([schema.empty_table(), *tables]), temporary)


def join_parts(path: Path, parts: Sequence[Path], schema: pa.Schema) -> None:
    """Atomically replace `path` with the rows of `parts`, in order."""
    write_table(path, [pq.read_table(part, schema=schema) for part in parts], schema)
