"""What a model is tested on, it must not have heard: the same speaker, session or recording in two splits.

Of what is in two splits the clips on the training side leak (train < dev < test), never the test ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from allears.audit.duplicates import roots

_RANK = {"train": 0, "dev": 1, "test": 2}


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


def _ranks(manifest: pd.DataFrame) -> pd.Series[int]:
    return manifest["split"].map(_RANK).astype("int64")
