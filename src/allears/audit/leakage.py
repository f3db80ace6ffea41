"""A speaker (else session, else recording) in two splits: what a model is tested on, it must not have heard."""

from __future__ import annotations

import pandas as pd

_RANK = {"train": 0, "dev": 1, "test": 2}


def leaks(manifest: pd.DataFrame) -> pd.Series[bool]:
    """True for each clip whose group also has clips in a split that is further held out (train < dev < test).

    So the clips to leave out are those on the training side, never the test ones. `manifest` needs group, split.
    """
    rank = manifest["split"].map(_RANK).astype("int64")
    highest = rank.groupby(manifest["group"].to_numpy()).transform("max")
    return rank < highest


def leaking_groups(manifest: pd.DataFrame) -> list[str]:
    """The groups that are in more than one split, sorted."""
    splits = manifest.groupby("group")["split"].nunique()
    return sorted(splits[splits > 1].index.astype(str))
