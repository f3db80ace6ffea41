"""Channels as corpora name them: A and B, left and right, or numbers that count from 0 or from 1.

A reader that knows how a layout counts gives the channel itself. Otherwise it gives the *side*, the name in a common
spelling, and the numbers of a whole source decide how they count. A side says which channel a recording is where it
has several: Kaldi and others also name the side of a call whose sides are files of their own.
"""

from __future__ import annotations

import re

import pandas as pd

_NAME = re.compile(r"(?:ch|chan|channel)?[ _-]?(?:(\d{1,2})(?:\.0)?|(a|l|left)|(b|r|right))", re.IGNORECASE)


def side_of(value: str | None) -> str | None:
    """Return the side that a word names ('A', 'B' or a number), None for any other word."""
    match = _NAME.fullmatch(value.strip()) if value else None
    if match is None:
        return None
    return str(int(match[1])) if match[1] else "A" if match[2] else "B"


def settle_sides(listing: pd.DataFrame) -> pd.DataFrame:
    """Return the listing with the channel of each side.

    The numbers of a source count from 0 where one is 0, else from 1. Where all are one number above 0, it may be the
    number of channels: no channel is taken from it.
    """
    named = listing["side"].notna() & listing["channel"].isna()
    if not named.any():
        return listing
    listing = listing.copy()
    for _, sides in listing.loc[named, "side"].groupby(listing["source"]):
        numbers = sorted({int(side) for side in sides.unique() if side.isdigit()})
        first = 0 if 0 in numbers else 1
        understood = len(numbers) > 1 or numbers == [0]
        channel_of = {"A": 0, "B": 1} | {str(number): number - first for number in numbers if understood}
        listing.loc[sides.index, "channel"] = sides.map(channel_of).astype("Int64")
    return listing
