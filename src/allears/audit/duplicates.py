"""Clips that are the same recording: by bytes, by decoded samples, by fingerprint and waveform.

Of each set one stays: a held-out one (test, then dev) before a training one, so that no duplicate leaks across splits,
then the first in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audio import fingerprint as fp
from allears.audit.alike import nearest_alike
from allears.params.audit import DuplicateParams

COLUMNS = {
    "clip": "string", "kind": "string", "duplicate_of": "string", "bit_error": "float64", "correlation": "float64",
}  # fmt: skip
KINDS = ("byte", "pcm", "reencoded")
_SPLIT_ORDER = {"test": 0, "dev": 1, "train": 2}
_PLACE = ("file_sha256", "channel", "start_s", "end_s")
NEEDS = ("clip", "split", *_PLACE)  # columns of the manifest
_MEASURES = ["clip", "decoded_duration_s", "pcm_sha256", "fingerprint"]
_ROWS = 1 << 16  # fingerprints turned into words at a time

Indices = NDArray[np.int64]
Compare = Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]
"""Pairs of clips → how well their waveforms agree, in [0, 1]; NaN: nobody can tell."""


def find(manifest: pd.DataFrame, measures: pd.DataFrame, params: DuplicateParams, compare: Compare) -> pd.DataFrame:
    """One row a clip that duplicates another that stays: COLUMNS, `kind` byte | pcm | reencoded.

    A copy of a copy names the one at the end, and how much it is like that one; its `kind` is what it shares with the
    next. `manifest` must have the columns NEEDS. Fingerprints only name candidates; how surely a copy is among them,
    `audit.alike` says. `compare` decides.
    """
    table = manifest[list(NEEDS)].merge(measures[_MEASURES], on="clip", how="left")
    rank = table["split"].map(_SPLIT_ORDER).astype("int64").to_numpy()
    table = table.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)
    rows = np.arange(len(table))
    by_bytes, by_pcm = _first_with(table, _PLACE), _first_with(table, ["pcm_sha256"])
    kind = np.where(by_bytes < rows, "byte", np.where(by_pcm < rows, "pcm", "")).astype(object)
    same = roots(np.where(by_bytes < rows, by_bytes, by_pcm))
    singles = np.flatnonzero((same == rows) & table["fingerprint"].notna().to_numpy())
    alike, facts = _reencoded(table.iloc[singles], params, compare)
    near, error, correlation = rows.copy(), np.zeros(len(table)), np.ones(len(table))
    near[singles] = singles[alike]
    kind[near < rows] = "reencoded"
    error[singles[facts.index]], correlation[singles[facts.index]] = facts["bit_error"], facts["correlation"]
    found = pd.DataFrame(
        {
            "clip": table["clip"], "kind": kind, "duplicate_of": table["clip"].to_numpy()[roots(near)[same]],
            "bit_error": error[same], "correlation": correlation[same],
        }
    )  # fmt: skip
    copies: pd.DataFrame = pd.concat([found[kind == each] for each in KINDS], ignore_index=True)
    return copies.astype(COLUMNS)


def _first_with(table: pd.DataFrame, keys: Sequence[str]) -> Indices:
    """The first row with the same `keys` as each row, itself included; a row whose keys are all null is like none."""
    rows = pd.Series(np.arange(len(table)))
    first = rows.groupby([table[key] for key in keys], sort=False, dropna=False).transform("min")
    alone = table[list(keys)].isna().all(axis=1).to_numpy(dtype=bool)
    found: Indices = np.where(alone, rows, first).astype(np.int64)
    return found


def _reencoded(table: pd.DataFrame, params: DuplicateParams, compare: Compare) -> tuple[Indices, pd.DataFrame]:
    """Each row's first row that is the same recording, itself included, and of those that have one, bit error and
    correlation with it.
    """
    texts = table["fingerprint"]
    parts = [bytes.fromhex("".join(texts.iloc[at : at + _ROWS])) for at in range(0, len(texts), _ROWS)]
    later_M, earlier_M, error_M = nearest_alike(
        fp.as_words(parts),
        table["decoded_duration_s"].to_numpy(dtype=np.float64),
        max_bit_error=params.max_bit_error,
        max_duration_difference_s=params.max_duration_difference_s,
    )
    clips = table["clip"].to_numpy(dtype=object)
    correlation_M = compare(list(zip(clips[earlier_M], clips[later_M], strict=True)))
    pairs = {"row": later_M, "first": earlier_M, "bit_error": error_M, "correlation": correlation_M}
    found = pd.DataFrame(pairs).query("correlation >= @params.min_correlation")
    found = found.sort_values(["row", "first"]).drop_duplicates("row").set_index("row")
    first = np.arange(len(table))
    first[found.index] = found["first"]
    return first, found[["bit_error", "correlation"]]


def roots(first: Indices) -> Indices:
    """Of each row the one that stays, at the end of its chain of copies of copies; `first`: its next one, or itself."""
    while not np.array_equal(up := first[first], first):
        first = up
    return first
