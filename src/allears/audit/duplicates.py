"""Clips that are the same recording: by bytes, by decoded samples, by fingerprint.

Of each set one stays: a held-out one (test, then dev) before a training one, so that no duplicate leaks across splits,
then the first in the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audio import fingerprint as fp
from allears.audit.alike import first_alike
from allears.params.audit import DuplicateParams

COLUMNS = {"clip": "string", "kind": "string", "duplicate_of": "string", "bit_error": "float64"}
_SPLIT_ORDER = {"test": 0, "dev": 1, "train": 2}
_PLACE = ("file_sha256", "channel", "start_s", "end_s")
NEEDS = ("clip", "split", *_PLACE)  # columns of the manifest
_MEASURES = ["clip", "decoded_duration_s", "pcm_sha256", "fingerprint"]
_ROWS = 1 << 16  # fingerprints turned into words at a time

Indices = NDArray[np.int64]


def find(manifest: pd.DataFrame, measures: pd.DataFrame, params: DuplicateParams) -> pd.DataFrame:
    """One row a clip that duplicates another that stays: COLUMNS, `kind` byte | pcm | reencoded.

    `manifest` must have the columns NEEDS. How surely a copy by fingerprint is found, `audit.alike` says.
    """
    table = manifest[list(NEEDS)].merge(measures[_MEASURES], on="clip", how="left")
    rank = table["split"].map(_SPLIT_ORDER).astype("int64").to_numpy()
    table = table.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)
    rows = np.arange(len(table))
    by_bytes, by_pcm = _first_with(table, _PLACE), _first_with(table, ["pcm_sha256"])
    kind = np.where(by_bytes < rows, "byte", np.where(by_pcm < rows, "pcm", ""))
    original = np.where(by_bytes < rows, by_bytes, by_pcm)
    singles = np.flatnonzero((kind == "") & table["fingerprint"].notna().to_numpy())
    alike, errors = _reencoded(table.iloc[singles], params)
    copies = alike < np.arange(len(singles))
    parts = [
        _rows(table, np.flatnonzero(kind == "byte"), original, "byte"),
        _rows(table, np.flatnonzero(kind == "pcm"), original, "pcm"),
    ]
    original[singles] = singles[_roots(alike)]
    parts.append(_rows(table, singles[copies], original, "reencoded").assign(bit_error=errors[copies]))
    return pd.concat(parts, ignore_index=True).astype(COLUMNS)


def _rows(table: pd.DataFrame, copies: Indices, original: Indices, kind: str) -> pd.DataFrame:
    clips = table["clip"]
    twins = clips.iloc[original[copies]].to_numpy()
    return pd.DataFrame({"clip": clips.iloc[copies].to_numpy(), "kind": kind, "duplicate_of": twins, "bit_error": 0.0})


def _first_with(table: pd.DataFrame, keys: Sequence[str]) -> Indices:
    """The first row with the same `keys` as each row, itself included; a row whose keys are all null is like none."""
    rows = pd.Series(np.arange(len(table)))
    first = rows.groupby([table[key] for key in keys], sort=False, dropna=False).transform("min")
    alone = table[list(keys)].isna().all(axis=1).to_numpy(dtype=bool)
    found: Indices = np.where(alone, rows, first).astype(np.int64)
    return found


def _reencoded(table: pd.DataFrame, params: DuplicateParams) -> tuple[Indices, NDArray[np.float64]]:
    """Each row's first row within the bit error, and that error."""
    texts = table["fingerprint"]
    parts = [bytes.fromhex("".join(texts.iloc[at : at + _ROWS])) for at in range(0, len(texts), _ROWS)]
    return first_alike(
        fp.as_words(parts),
        table["decoded_duration_s"].to_numpy(dtype=np.float64),
        max_bit_error=params.max_bit_error,
        max_duration_difference_s=params.max_duration_difference_s,
    )


def _roots(first: Indices) -> Indices:
    """The one that stays, at the end of a chain of copies of copies."""
    while not np.array_equal(up := first[first], first):
        first = up
    return first
