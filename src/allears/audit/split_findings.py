"""Sentences about how splits differ from train, sources from each other, and what texts they share; with levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from allears.audit.measures import BY_NAME
from allears.audit.split_comparison import LEVELS
from allears.types import SPLITS

MOSTLY_SHARED, PARTLY_SHARED = 0.5, 0.05  # shares of held-out clips whose text train has: worth a warning, a note
CLOSED = 0.9  # share of training clips with a text that many say: a closed set of sentences, such as commands
_WORDS = {
    "language": "language", "source": "source", "sample_rate_hz": "sample rate", "channels": "number of channels",
    **{name: BY_NAME[name].short for name in LEVELS},
}  # fmt: skip
_LIKE_PARTS = 5  # sources that one finding each is about; more are in the table
Sentence = tuple[str, str]


def about_splits(comparison: dict[str, list[dict[str, Any]]], who: str) -> list[Sentence]:
    """Return (level, sentence) of what a reader should know. `who`: what groups are, in the plural."""
    splits = {row["split"]: row for row in comparison["parts"] if row["source"] is None and row["clips"]}
    differing = [row for row in comparison["differences"] if row["differs"]]
    of_split: dict[str, list[dict[str, Any]]] = {
        split: [row for row in differing if row["part"] == split and row["kind"] == "split"] for split in SPLITS
    }
    return [
        *(_unlike_train(split, rows) for split, rows in of_split.items() if rows),
        *_narrow(splits, of_split, comparison["parts"], who),
        *_shared_texts(splits),
        *_unlike_others([row for row in differing if row["kind"] == "source"]),
    ]


def phrase(row: dict[str, Any]) -> str:
    """A difference in words: `another language (sw; train: en)`, `level 6.2 dB lower`, `SNR at least 9.0 dB higher`."""
    name = _WORDS[row["measure"]]
    if row["measure"] in LEVELS:
        size = ("at least " if row["at_least"] else "") + f"{abs(row['distance']):.1f} dB"
        return f"{name} {size} {'lower' if row['distance'] < 0 else 'higher'}"
    unit = " Hz" if row["measure"] == "sample_rate_hz" and row["differs"] == "wholly" else ""
    sides = f"{row['here']}{unit}; {row['other']}: {row['there']}{unit}"
    if row["differs"] == "wholly":
        return f"another {name} ({sides})"
    return f"other shares by {name} ({row['distance']:.0%} of the hours: {sides})"


def _unlike_train(split: str, rows: list[dict[str, Any]]) -> Sentence:
    grave = any(row["differs"] in ("wholly", "mostly") for row in rows)
    reason = "what is chosen on it suits" if split == "dev" else "what is measured on it holds for"
    text = f"{split} is not like train: {_and([phrase(row) for row in rows])}"
    return ("warn", f"{text}; {reason} other audio than train's.") if grave else ("note", f"{text}.")


def _narrow(
    splits: dict[str, dict[str, Any]], of_split: dict[str, list[dict[str, Any]]], parts: Iterable[dict[str, Any]],
    who: str,
) -> Iterator[Sentence]:  # fmt: skip
    """Splits of one speaker, and of one source where the corpus has several."""
    if single := [split for split, row in splits.items() if row["groups"] == 1]:
        yield "warn", f"{_and(single)}: all clips are of one of the {who}; a result there is about that one."
    sources = {row["source"] for row in parts} - {None}
    narrow = [
        split
        for split, row in splits.items()
        if row["sources"] == 1 and not any(each["measure"] == "source" for each in of_split[split])
    ]
    if narrow and len(sources) > 1:
        yield "note", f"{_and(narrow)}: all clips are of one source; the corpus has {len(sources)}."


def _shared_texts(splits: dict[str, dict[str, Any]]) -> Iterator[Sentence]:
    prompts = (splits.get("train", {}).get("template_share") or 0.0) >= CLOSED
    if prompts:
        texts, share = splits["train"]["texts"], splits["train"]["template_share"]
        text = (
            f"Train says {texts:,} different texts, and {share:.0%} of its clips with a text say one that many people"
        )
        yield "note", f"{text} say: error rates hold for these sentences, not for others."
    for split in ("dev", "test"):
        share = splits.get(split, {}).get("text_in_train") or 0.0
        if share >= PARTLY_SHARED:
            text = f"{share:.0%} of the {split} clips with a text say one that train has too"
            level = "warn" if share >= MOSTLY_SHARED and not prompts else "note"
            yield level, f"{text}: an error rate there is not that of new sentences."


def _unlike_others(rows: list[dict[str, Any]]) -> Iterator[Sentence]:
    of_source: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_source.setdefault(row["part"], []).append(row)
    for source, differing in list(of_source.items())[:_LIKE_PARTS]:
        other = differing[0]["other"]
        yield "note", f"source {source} is not like {other}: {_and([phrase(row) for row in differing])}."
    if len(of_source) > _LIKE_PARTS:
        more = len(of_source) - _LIKE_PARTS
        yield "note", f"{more:,} more sources are not like the others; see the table of differences."


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
