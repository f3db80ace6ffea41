"""The datasheet of a corpus: what its tables say; what nobody told says 'unknown'."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from allears.reporting.markdown import render_markdown

KNOWN_FIELDS = ("text", "label", "language", "accent", "gender", "age", "speaker", "session")


def datasheet(
    corpus: str,
    version: str,
    sources: list[dict[str, Any]],
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame,
    verdicts: pd.DataFrame,
) -> str:
    """Markdown after Gebru et al. (arXiv 1803.09010); `manifest` has one row a clip, `verdicts` too."""
    seconds = manifest["end_s"] - manifest["start_s"]
    table = manifest.assign(hours=seconds / 3600)
    values = {
        "corpus": corpus,
        "version": version,
        "clips": len(table),
        "hours": float(table["hours"].sum()),
        "speakers": int(table["speaker"].nunique()),
        "sources": [{"layout": "unknown", "licence": "unknown"} | source for source in sources],
        "splits": _splits(table),
        "known": [{"name": name, "share": float(table[name].notna().mean())} for name in KNOWN_FIELDS],
        "licences": _counts(table, ["licence"]),
        "codecs": _counts(table, ["codec", "sample_rate_hz"]),
        "quarantined": len(quarantine),
        "reasons": Counter(quarantine["reason"]).most_common(),
        "verdicts": Counter(verdicts["verdict"]).most_common(),
        "flags": Counter(flag for flags in verdicts["reasons"] for flag in str(flags).split(",") if flag).most_common(),
    }
    return render_markdown("datasheet", values)


def _splits(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = table.groupby(["split", "split_origin"], as_index=False).agg(
        clips=("clip", "size"), hours=("hours", "sum"), speakers=("speaker", "nunique")
    )
    return _rows(found.rename(columns={"split_origin": "origin"}))


def _counts(table: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    counted = table.groupby(columns, as_index=False).agg(clips=("clip", "size"))
    return _rows(counted.sort_values("clips", ascending=False))


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
