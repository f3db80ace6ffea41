"""The section of the audit's page that compares splits and sources."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from allears.audit.derived import NOISE_NEEDS_S
from allears.audit.measures import BY_NAME
from allears.audit.split_comparison import LEAST_DB, LEVELS, at_ceiling
from allears.reporting.html import Column, table, written
from allears.reporting.measure_words import heading

MAX_ROWS = 40
_PART_COLUMNS = (
    Column(key="split", title="split"), Column(key="source", title="source"),
    Column(key="clips", title="clips", kind="count"), Column(key="hours", title="hours", kind="hours"),
    Column(key="groups", title="speakers*", kind="count", hint="else sessions, else recordings"),
    Column(key="language", title="language", hint="of most hours, with its share"),
    Column(key="rate", title="sample rate", kind="number", hint="of most hours, with its share"),
    Column(key="channels", title="channels", kind="number", hint="of most hours, with their share"),
    Column(
        key="level", title=heading("rms_dbfs"), kind="number", hint="median, and the range of the middle two thirds",
    ),
    Column(
        key="snr", title=heading("snr_db"), kind="number",
        hint=f"as the level, of speech of {NOISE_NEEDS_S:g} s and more",
    ),
    Column(key="texts", title="texts", kind="count", hint="different ones, case and punctuation aside"),
    Column(key="text_in_train", title="also in train", kind="percent", hint="of the clips with a text"),
    Column(key="template_share", title="said by many", kind="percent", hint="of the clips with a text"),
)  # fmt: skip
_OF_TEXTS = ("texts", "text_in_train", "template_share")
_DIFFERENCE_COLUMNS = (
    Column(key="part", title="of"), Column(key="other", title="against"), Column(key="measure", title=""),
    Column(key="here", title="here"), Column(key="there", title="there"),
    Column(key="by", title="difference", kind="number", hint="of the hours, or of the medians"),
    Column(key="flag", title="", kind="flag"),
)  # fmt: skip
_MEASURES = {
    "language": "language", "source": "source", "sample_rate_hz": "sample rate, Hz", "channels": "channels",
    **{name: BY_NAME[name].short for name in LEVELS},
}  # fmt: skip
METHOD = (
    "Only selected clips count. Languages, sources, rates and channels differ by the share of hours that would have to "
    f"be of another one to have the other side's shares; level and SNR differ where the median is {LEAST_DB:g} dB or "
    "more away and beyond the lowest or highest sixth of the other side's clips."
)


def context(summary: dict[str, Any]) -> dict[str, Any]:
    """Return both tables, what they leave out and how they are made, as the page's template names them."""
    compared = summary["comparison"]
    return {
        "split_method": METHOD,
        "split_parts": parts(summary),
        "split_parts_line": _cut_off(len(compared["parts"]), "split_comparison"),
        "split_differences": differences(summary),
        "split_differences_line": _cut_off(len(compared["differences"]), "split_differences"),
    }


def parts(summary: dict[str, Any]) -> Markup:
    """Return the table of splits, then of sources, then of both, where there is more than one source."""
    rows = [_part(row) for row in summary["comparison"]["parts"][:MAX_ROWS]]
    has_texts = any(row["texts"] for row in rows)
    return table(rows, [column for column in _PART_COLUMNS if has_texts or column.key not in _OF_TEXTS])


def differences(summary: dict[str, Any]) -> Markup | None:
    """Return the table of how dev and test differ from train and sources from each other; None without any."""
    rows = summary["comparison"]["differences"][:MAX_ROWS]
    shown = [
        row | {"measure": _MEASURES[row["measure"]], "by": _size(row), "flag": _flag(row)}
        | {"_class": "" if row["differs"] else "faint"}
        for row in rows
    ]  # fmt: skip
    return table(shown, _DIFFERENCE_COLUMNS) if shown else None


def _cut_off(rows: int, name: str) -> str:
    """Return a line about the rows that a table leaves out; empty where it shows all."""
    return "" if rows <= MAX_ROWS else f"The first {MAX_ROWS} of {rows:,} rows; all are in {name}.parquet."


def _part(row: dict[str, Any]) -> dict[str, Any]:
    rate = f"{int(row['sample_rate_hz']) / 1000:g} kHz" if row["sample_rate_hz"] else None
    return row | {
        "split": row["split"] or "all", "source": row["source"] or "all",
        "language": _with_share(row["language"], row["language_share"]),
        "rate": _with_share(rate, row["sample_rate_hz_share"]),
        "channels": _with_share(row["channels"], row["channels_share"]),
        "level": _range(row, "rms_dbfs"), "snr": _range(row, "snr_db"),
    }  # fmt: skip


def _with_share(value: str | None, share: float | None) -> str:
    if value is None or share is None:
        return ""
    return value if share == 1 else f"{value} ({written(share, 'percent')})"


def _range(row: dict[str, Any], measure: str) -> str:
    low, median, high = (row[f"{measure}_{mark}"] for mark in ("low", "median", "high"))
    if median is None:
        return ""
    low, median, high = (
        f"≥ {value:g}" if at_ceiling(measure, value) else f"{value:.{digits}f}"
        for value, digits in ((low, 0), (median, 1), (high, 0))
    )
    return f"{median} ({low} to {high})"


def _size(row: dict[str, Any]) -> str:
    if row["measure"] in LEVELS:
        if row["at_least"]:
            return f"at least {abs(row['distance']):.1f} dB {'less' if row['distance'] < 0 else 'more'}"
        return f"{row['distance']:+.1f} dB"
    return written(row["distance"], "percent")


def _flag(row: dict[str, Any]) -> str:
    words = {"wholly": "nothing in common", "mostly": "mostly other", "partly": "partly other"}
    if row["measure"] in LEVELS:
        words = {"wholly": "apart"}
    return words.get(row["differs"], "")
