"""Test data must not occur in training: the same speaker, session, recording or audio in two splits.

Of what is in two splits the clips on the training side leak (train < dev < test), never the test ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit.duplicates import roots

_RANK = {"train": 0, "dev": 1, "test": 2}
_ROUNDING_S = 1e-3  # spans that share less than this follow one another: tables round their times
Times = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


def leaks(manifest: pd.DataFrame) -> pd.Series[bool]:
    """True for each clip whose group (speaker, else session, else recording) also has clips in a split that is further
    held out.

    `manifest` needs group, split.
    """
    rank = _ranks(manifest)
    highest = rank.groupby(manifest["group"].to_numpy()).transform("max")
    return rank < highest


def leaking_groups(manifest: pd.DataFrame) -> list[str]:
    """The groups that are in more than one split, sorted."""
    splits = manifest.groupby("group")["split"].nunique()
    return sorted(splits[splits > 1].index.astype(str))


def shared_sessions(manifest: pd.DataFrame) -> pd.Series[bool]:
    """True for each clip whose session (ids count within their source) also has clips in a split that is further held
    out, while its speaker has none there: two speakers of one call, torn apart.

    `manifest` needs group, split, source, session.
    """
    rank = _ranks(manifest)
    highest = rank.groupby([manifest["source"].to_numpy(), manifest["session"].to_numpy()]).transform("max")
    return (rank < highest) & ~leaks(manifest)  # without a session: NaN, and nothing is less


def session_leaks(manifest: pd.DataFrame, max_share: float) -> pd.Series[bool]:
    """`shared_sessions`, but for those of a split that would lose more than `max_share` of its clips by them.

    Some corpora call a day, a room or a programme a session: nearly every clip would leak. They are only counted.
    """
    shared = shared_sessions(manifest)
    share = shared[~leaks(manifest)].groupby(manifest["split"].astype("string")).mean()
    return shared & (manifest["split"].map(share).astype("float64") <= max_share)


def copy_leaks(manifest: pd.DataFrame, duplicate_of: pd.Series[str]) -> pd.Series[bool]:
    """True for each clip that is a copy of one in a split that is further held out, be it by copies of copies.

    `manifest` needs clip, split; `duplicate_of`, in its order, names the clip that each is a copy of, or is null.
    """
    rank_N = _ranks(manifest).to_numpy()
    twin_N = pd.Index(manifest["clip"]).get_indexer(pd.Index(duplicate_of))
    root_N = roots(np.where(twin_N < 0, np.arange(len(manifest)), twin_N).astype(np.int64))
    return pd.Series(rank_N < rank_N[root_N], index=manifest.index)


def overlap_leaks(manifest: pd.DataFrame) -> pd.Series[bool]:
    """True for each clip whose span of a file overlaps that of a clip in a split that is further held out.

    Files are the same that have the same bytes. A clip of one channel overlaps those of this channel and of all
    channels mixed. The very same span is no overlap but a copy (`copy_leaks`).

    `manifest` needs split, file_sha256, channel, start_s, end_s.
    """
    rank_N = _ranks(manifest).to_numpy(dtype=np.int64)
    file_N = pd.factorize(manifest["file_sha256"])[0].astype(np.int64)
    splits_F3 = np.zeros((file_N.max(initial=-1) + 1, len(_RANK)), dtype=bool)
    splits_F3[file_N, rank_N] = True
    torn_N = (splits_F3.sum(axis=1) > 1)[file_N]
    found_N = np.zeros(len(manifest), dtype=bool)
    found_N[torn_N] = _overlapped(manifest[torn_N], file_N[torn_N], rank_N[torn_N])
    return pd.Series(found_N, index=manifest.index, dtype=bool)


def _overlapped(manifest: pd.DataFrame, file_N: Codes, rank_N: Codes) -> Mask:
    channel_N = manifest["channel"].fillna(-1).to_numpy(dtype=np.int64)  # -1: all mixed
    side_N = pd.factorize(file_N * (channel_N.max(initial=0) + 2) + channel_N + 1)[0].astype(np.int64)
    starts_N, ends_N = (manifest[name].to_numpy(dtype=np.float64) for name in ("start_s", "end_s"))
    place_N = (
        pd.DataFrame({"side": side_N, "start": starts_N, "end": ends_N}).groupby(["side", "start", "end"]).ngroup()
    )
    copy_N, found_N = (np.zeros(len(manifest), dtype=bool) for _ in range(2))
    for rank in (1, 2):
        copy_N |= (rank_N < rank) & place_N.isin(place_N[rank_N >= rank].unique()).to_numpy()
    for rank in (1, 2):
        further_N = rank_N >= rank
        asked_N = ~further_N & ~copy_N
        for code_N, asked, others in (
            (side_N, asked_N, further_N),
            (file_N, asked_N & (channel_N < 0), further_N),
            (file_N, asked_N, further_N & (channel_N < 0)),
        ):
            found_N[asked] |= _overlap_any(code_N, starts_N, ends_N, asked, others)
    return found_N


def _overlap_any(code_N: Codes, starts_N: Times, ends_N: Times, asked_N: Mask, others_N: Mask) -> Mask:
    """True for each span `asked` that overlaps any of the `others` with its code.

    All codes lie on one line, each a stretch longer than any file. Of the others that begin before a span's end, sorted
    by beginning, one overlaps it if the latest end so far lies behind its beginning.
    """
    shift_N = code_N * (ends_N.max(initial=0.0) + 1.0)
    order = np.argsort(starts_N[others_N] + shift_N[others_N], kind="stable")
    other_starts = (starts_N + shift_N)[others_N][order]
    latest_end = np.maximum.accumulate(np.append(-np.inf, (ends_N + shift_N)[others_N][order]))
    before = np.searchsorted(other_starts, (ends_N + shift_N)[asked_N] - _ROUNDING_S)
    found: Mask = latest_end[before] > (starts_N + shift_N)[asked_N] + _ROUNDING_S
    return found


def _ranks(manifest: pd.DataFrame) -> pd.Series[int]:
    return manifest["split"].map(_RANK).astype("int64")
