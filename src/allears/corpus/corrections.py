"""Corrections by a person: `data/01_raw/<corpus>/corrections.csv`, a row a value; no shard is written again for one.

```
clip,column,value,why
us-01-004-fb89b93692,text,we like pears,heard it
us-01-004-fb89b93692,accent,,nobody knows
```
An empty value makes it unknown. Of two rows for one value the later one counts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from allears.errors import CorpusError, nearest
from allears.params.base import Paths
from allears.storage.files import storage_error

CORRECTABLE = ("text", "label", "language", "accent", "gender", "age", "speaker")
FIELDS = ("clip", "column", "value", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One value of one clip; `value` None: unknown. `where`: file and line, for errors."""

    clip: str
    column: str
    value: str | None
    where: str


def corrections_file(paths: Paths) -> Path:
    """Where a corpus's corrections lie."""
    return paths.raw / "corrections.csv"


def read_corrections(file: Path) -> list[Correction]:
    """All corrections; none without a file. Raises CorpusError with the line for what cannot be a correction."""
    if not file.exists():
        return []
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")), strict=True)
        missing = [name for name in FIELDS[:3] if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"{file}, line 1: column {missing[0]} is missing; the first line is {','.join(FIELDS)}")
        return [_correction(row, f"{file}, line {reader.line_num}") for row in reader]
    except OSError as error:
        raise storage_error(file, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{file} cannot be read ({error}); save it as CSV in UTF-8") from error


def corrected(clips: pd.DataFrame, corrections: Sequence[Correction]) -> pd.DataFrame:
    """The clips with the corrections, each of which is of one of them."""
    if not corrections:
        return clips
    table = clips.copy()
    rows = pd.Index(table["clip"]).get_indexer(pd.Index([one.clip for one in corrections])).tolist()
    for column in {one.column for one in corrections}:
        values = table[column].to_numpy(dtype=object).copy()
        for row, one in zip(rows, corrections, strict=True):
            if one.column == column:
                values[row] = one.value
        table[column] = pd.array(values, dtype="string")
    return table


def _correction(row: dict[str, str | None], where: str) -> Correction:
    clip, column, value = ((row.get(name) or "").strip() for name in FIELDS[:3])
    if column not in CORRECTABLE:
        raise CorpusError(
            f"{where}: '{column}' cannot be corrected{nearest(column, CORRECTABLE) or '.'} Valid are "
            f"{', '.join(CORRECTABLE)}"
        )
    return Correction(clip=clip, column=column, value=value or None, where=where)
