"""Tables of the audit's page by speaker, and by source and split. Both are bounded, whatever the corpus holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from allears.audio.measures import CEILING_DB
from allears.audit.derived import NOISE_NEEDS_S, tells_noise
from allears.audit.groups import Axis, Floats, axis, hours_of, reason_masks
from allears.audit.suspect import lower_bound
from allears.reporting.html import Column, table, written
from allears.reporting.measure_words import heading
from allears.types import SPLITS

MAX_SPEAKERS = 300
MAX_SOURCES = 30
MAX_REASONS = 4
_CODES = ("reasons", "set_aside")
_OF_SNR = f"median of WADA, of clips of {NOISE_NEEDS_S:g} s and more; ≥ {CEILING_DB:g}: at its ceiling"
_MEDIANS = {"level": "rms_dbfs", "snr": "snr_db", "offset": "dc_offset"}
_SPEAKER_COLUMNS = (
    Column(key="speaker", title="speaker", kind="path"), Column(key="source", title="source"),
    Column(key="hours", title="hours", kind="hours"), Column(key="clips", title="clips", kind="count"),
    Column(key="level", title=heading("rms_dbfs"), kind="measure", hint="median"),
    Column(key="snr", title=heading("snr_db"), kind="number", hint=_OF_SNR),
    Column(key="offset", title=heading("dc_offset"), kind="measure", hint="median; full scale is 1"),
    Column(key="flagged", title="flagged", kind="percent", hint="clips with a reason against them"),
    Column(key="set_aside", title="set aside", kind="percent", hint="clips that a rule would flag that is set aside"),
)  # fmt: skip
_SPLIT_COLUMNS = (
    Column(key="source", title="source"), Column(key="split", title="split"),
    Column(key="clips", title="clips", kind="count"), Column(key="hours", title="hours", kind="hours"),
    Column(key="kept", title="kept", kind="count"), Column(key="share", title="of the clips", kind="percent"),
    Column(key="reasons", title="flagged by"), Column(key="set_aside", title="set aside"),
)  # fmt: skip


def context(clips: pd.DataFrame) -> dict[str, Any]:
    """Return both tables and their lines, as the page's template names them."""
    by_speaker, count = speakers(clips)
    by_split, sources = by_source(clips)
    return {
        "by_speaker": by_speaker,
        "speakers_line": _some_of(count, MAX_SPEAKERS, "speakers, those with most flagged clips first"),
        "by_source": by_split,
        "sources_line": _some_of(sources, MAX_SOURCES, "sources, the largest first"),
    }


def speakers(clips: pd.DataFrame) -> tuple[Markup | None, int]:
    """Return the table of speakers, those with the most flagged clips first, and how many speakers there are.

    `clips` is the manifest joined with measures and verdicts. The order is by the lower bound of the share of flagged
    clips: a speaker of few clips leads only if there is none of many. None where no speaker is known.
    """
    known = clips[clips["speaker"].notna()]
    if known.empty:
        return None, 0
    facts = known.assign(
        hours=hours_of(known),
        flagged=(known["verdict"] != "keep").astype("int64"),
        set_aside=known["set_aside"].ne("").astype("int64"),
        snr_db=known["snr_db"].where(tells_noise(known)),
    )
    grouped = facts.groupby(["source", "speaker"], sort=True)
    rows = grouped.agg(hours=("hours", "sum"), clips=("clip", "size"), flagged=("flagged", "sum"),
                       set_aside=("set_aside", "sum")).reset_index()  # fmt: skip
    bounds = [lower_bound(rows[name].to_numpy(), rows["clips"].to_numpy()) for name in ("set_aside", "flagged")]
    order = np.lexsort((-rows["hours"].to_numpy(), *(-bound for bound in bounds)))[:MAX_SPEAKERS]
    worst = rows.iloc[order]
    medians = facts.merge(worst[["source", "speaker"]], on=["source", "speaker"]).groupby(["source", "speaker"])
    worst = worst.merge(
        medians[list(_MEDIANS.values())].median().set_axis(list(_MEDIANS), axis=1).reset_index(),
        on=["source", "speaker"],
    )
    shares = {name: worst[name] / worst["clips"] for name in ("flagged", "set_aside")}
    sources = rows["source"].unique()
    columns = [each for each in _SPEAKER_COLUMNS if each.key != "source" or len(sources) > 1]
    snr = [f"≥ {value:g}" if value >= CEILING_DB else written(value, "measure") for value in worst["snr"]]
    return table(worst.assign(snr=snr, **shares), columns), len(rows)


def by_source(clips: pd.DataFrame) -> tuple[Markup, int]:
    """Return clips, hours, what is kept and the most frequent reasons of each source and split, and how many sources
    there are; the largest sources come first.
    """
    sources = axis(clips, "source")
    split_N = clips["split"].map({name: place for place, name in enumerate(SPLITS)}).to_numpy(dtype=np.int64)
    cells = Axis("source × split", sources.cells * len(SPLITS), split_N * len(sources.cells) + sources.cell_N)
    clips_G, hours_G = cells.sums(np.ones(len(clips))), cells.sums(hours_of(clips))
    kept_G = cells.sums((clips["verdict"] == "keep").to_numpy(dtype=bool))
    counts = {name: {code: cells.sums(mask) for code, mask in reason_masks(clips[name]).items()} for name in _CODES}
    largest = np.argsort(-sources.sums(np.ones(len(clips))), kind="stable")[:MAX_SOURCES].tolist()
    rows = []
    for source in largest:
        for place, split in enumerate(SPLITS):
            cell = place * len(sources.cells) + source
            if clips_G[cell]:
                row = {"source": sources.cells[source], "split": split, "clips": clips_G[cell], "hours": hours_G[cell]}
                row |= {"kept": kept_G[cell], "share": kept_G[cell] / clips_G[cell]}
                rows.append(row | {name: _most_frequent(each, cell) for name, each in counts.items()})
    return table(rows, _SPLIT_COLUMNS), len(sources.cells)


def _most_frequent(counts: dict[str, Floats], cell: int) -> str:
    ordered = sorted(((int(count_G[cell]), code) for code, count_G in counts.items()), key=lambda each: -each[0])
    there = [f"{code} {count:,}" for count, code in ordered if count]
    more = f", {len(there) - MAX_REASONS} more" if len(there) > MAX_REASONS else ""
    return ", ".join(there[:MAX_REASONS]) + more


def _some_of(count: int, most: int, what: str) -> str:
    """Return a line for a table that shows at most `most` rows of `count`; empty where it shows one."""
    if count <= 1:
        return ""
    return f"{count:,} {what}." if count <= most else f"{most:,} of {count:,} {what}."
