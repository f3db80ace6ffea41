"""Clips that are the same recording: by bytes, by decoded samples, by fingerprint.

Of each set one stays: a held-out one (test, then dev) before a training one, so that no duplicate leaks across splits,
then the first in the manifest.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from allears.audio import fingerprint as fp
from allears.params.audit import DuplicateParams

COLUMNS = ("clip", "kind", "duplicate_of", "bit_error")
_SPLIT_ORDER = {"test": 0, "dev": 1, "train": 2}


def find(manifest: pd.DataFrame, measures: pd.DataFrame, params: DuplicateParams) -> pd.DataFrame:
    """One row a clip that duplicates another that stays: COLUMNS, `kind` byte | pcm | reencoded.

    `manifest` needs clip, file_sha256, channel, start_s, end_s, split.
    """
    table = manifest.merge(measures[["clip", "decoded_duration_s", "pcm_sha256", "fingerprint"]], on="clip", how="left")
    order = table["split"].map(_SPLIT_ORDER).astype("int64").to_numpy()
    table = table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    place = table["file_sha256"] + table["channel"].astype("string").fillna("mix")
    place = place + table["start_s"].astype("string") + ":" + table["end_s"].astype("string")
    by_bytes = _same(table["clip"], place)
    by_pcm = _same(table["clip"], table["pcm_sha256"])
    rows = [(clip, "byte", other, 0.0) for clip, other in by_bytes.items()]
    rows += [(clip, "pcm", other, 0.0) for clip, other in by_pcm.items() if clip not in by_bytes]
    taken = {row[0] for row in rows}
    singles = table[~table["clip"].isin(list(taken)) & table["fingerprint"].notna()]
    rows += _reencoded(singles, params)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"clip": "string", "kind": "string", "duplicate_of": "string", "bit_error": "float64"}
    )


def _same(clips: pd.Series[str], keys: pd.Series[str]) -> dict[str, str]:
    """Clip → the first clip with its key, for all but the first; null keys match nothing."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for clip, key in zip(clips, keys, strict=True):
        if pd.isna(key):
            continue
        if key in first:
            found[clip] = first[key]
        else:
            first[key] = clip
    return found


def _reencoded(table: pd.DataFrame, params: DuplicateParams) -> list[tuple[str, str, str, float]]:
    """Pairs within the bit error among clips of nearly the same length: the work is clips x neighbours in length."""
    if table.empty:
        return []
    words_NP = fp.as_words([bytes.fromhex(text) for text in table["fingerprint"]])
    clips = table["clip"].tolist()
    seconds = table["decoded_duration_s"].to_numpy()
    by_length = np.argsort(seconds, kind="stable")
    last = np.searchsorted(seconds[by_length], seconds[by_length] + params.max_duration_difference_s, side="right")
    original: dict[int, tuple[int, float]] = {}
    for here, i in enumerate(by_length):
        others = by_length[here + 1 : last[here]]
        errors = fp.distances(words_NP[i], words_NP[others])
        for j, error in zip(
            others[errors <= params.max_bit_error], errors[errors <= params.max_bit_error], strict=True
        ):
            keep, drop = min(int(i), int(j)), max(int(i), int(j))
            if drop not in original or keep < original[drop][0]:
                original[drop] = (keep, float(error))
    return [(clips[drop], "reencoded", clips[_root(drop, original)], error) for drop, (_, error) in original.items()]


def _root(clip: int, original: dict[int, tuple[int, float]]) -> int:
    """The one that stays, at the end of a chain of copies of copies."""
    while clip in original:
        clip = original[clip][0]
    return clip
