"""The clips to listen to on the audit's page: cards with a player and a spectrogram, grouped by reason."""

from __future__ import annotations

from typing import Any

import pandas as pd

from allears.audit.exhibits import REFERENCE, SET_ASIDE
from allears.reporting import measure_words
from allears.reporting.html import as_records, written

FOLDER = "audit_files"
MAX_TEXT = 300
_NEARLY_S = 1e-6  # as `manifest.clip_refs` has it: seconds of a table are rounded
_TITLES = {
    "worst": "The worst", "just flagged": "Just flagged", "just kept": "Just kept", "drawn": "Drawn at random",
}  # fmt: skip
_VERDICTS = {"keep": ("yes", "kept"), "soft": ("care", "flagged"), "hard": ("no", "refused")}


def groups(exhibits: pd.DataFrame, clips: pd.DataFrame, max_s: float, means: dict[str, str]) -> list[dict[str, Any]]:
    """Return a record per reason, with its cards by place, without copies and clips of rules that are set aside.

    `clips` has one row per clip of the corpus, `means` the words of each reason.
    """
    shown = []
    for group, some in cards(exhibits[exhibits["place"] != SET_ASIDE], clips, max_s).groupby("group", sort=False):
        if _is_pairs(some):
            continue
        places = [
            {"title": _TITLES[str(place)], "cards": part["card"].tolist()}
            for place, part in some.groupby("place", sort=False)
        ]
        named = {"name": str(group), "meaning": means.get(str(group), "")}
        if group == REFERENCE:
            named = {"name": "for comparison", "meaning": "kept clips, drawn at random"}
        count = ", ".join(f"{size} {place}" for place, size in some["place"].value_counts(sort=False).items())
        shown.append(named | {"count": count, "places": places})
    return shown


def pairs(exhibits: pd.DataFrame, clips: pd.DataFrame, max_s: float, means: dict[str, str]) -> list[dict[str, Any]]:
    """A kind of copy each, with pairs of cards: the clip that stays, then the one that is left out."""
    shown = []
    for group, some in cards(exhibits, clips, max_s).groupby("group", sort=False):
        if _is_pairs(some):
            both = [pair.sort_values("place", ascending=False)["card"].tolist() for _, pair in some.groupby("rank")]
            shown.append({"name": str(group), "meaning": means.get(str(group), ""), "pairs": both})
    return shown


def cards(exhibits: pd.DataFrame, clips: pd.DataFrame, max_s: float) -> pd.DataFrame:
    """Return the exhibits with their cards in the column `card`."""
    facts = ["clip", "path", "member", "channel", "text", "label", "speaker", "language", "split", "verdict", "reasons",
             "end_s", "start_s", "decoded_duration_s"]  # fmt: skip
    some = clips[clips["clip"].isin(exhibits["clip"])]
    table = exhibits.merge(some[facts].assign(piece_start_s=piece_starts(some)), on="clip", how="left")
    made: list[Any] = [_card(row, max_s) for row in as_records(table)]
    return table.assign(card=made)


def piece_starts(clips: pd.DataFrame) -> pd.Series[float]:
    """Where each clip begins in its recording, in seconds; unknown where it is all of it."""
    piece_N = (clips["start_s"] > 0) | (clips["end_s"] < clips["file_duration_s"] - _NEARLY_S)
    return clips["start_s"].where(piece_N)


def _is_pairs(some: pd.DataFrame) -> bool:
    return bool(some["place"].isin(["stays", "left out"]).all())


def _card(row: dict[str, Any], max_s: float) -> dict[str, Any]:
    row = {key: None if pd.isna(value) else value for key, value in row.items()}
    style, verdict = _VERDICTS[row["verdict"]]
    text = row["text"] or row["label"] or ""
    return {
        "clip": row["clip"],
        "where": _where(row),
        "place": row["place"],
        "style": style,
        "verdict": verdict,
        "reasons": row["reasons"].replace(",", ", "),
        "sound": row["file"] and f"{FOLDER}/{row['file']}.mp3",
        "picture": row["file"] and f"{FOLDER}/{row['file']}.webp",
        "problem": row["problem"],
        "span": _span(row, max_s),
        "top": row["top_hz"] and f"{row['top_hz'] / 1000:g} kHz",
        "measure": _measure(row),
        "facts": " · ".join(str(row[key]) for key in ("speaker", "language", "split") if row[key] is not None),
        "text": text[:MAX_TEXT] + ("…" if len(text) > MAX_TEXT else ""),
    }


def _where(row: dict[str, Any]) -> str:
    """`calls.tar, call-7.flac in it, channel 1, from 12.50 s`: what tells clips of one file apart."""
    inside = "" if row["member"] is None else f", {row['member']} in it"
    channel = "" if row["channel"] is None else f", channel {row['channel']}"
    start = "" if row["piece_start_s"] is None else f", from {row['piece_start_s']:.2f} s"
    return f"{row['path']}{inside}{channel}{start}"


def _measure(row: dict[str, Any]) -> dict[str, str] | None:
    if row["measure"] is None or row["value"] is None:
        return None
    measure = row["measure"]
    found = {"name": measure_words.name(measure), "value": measure_words.quantity(measure, row["value"])}
    return found | {"cut": "" if row["cut"] is None else measure_words.quantity(measure, row["cut"])}


def _span(row: dict[str, Any], max_s: float) -> str:
    """`2.58 s`, or `first 12 s of 27.31 s`."""
    if row["seconds"] is None:
        return ""
    whole = row["decoded_duration_s"] or row["end_s"] - row["start_s"]
    if row["seconds"] > max_s - 0.1 and whole > row["seconds"] + 0.1:
        return f"first {max_s:g} s of {written(whole, 'seconds')}"
    return written(row["seconds"], "seconds")
