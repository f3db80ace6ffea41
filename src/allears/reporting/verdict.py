"""The verdict that ends every command in which the audit ran, and the figures that the next one is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from allears.reporting.audit_page import answer
from allears.reporting.html import written

MOST_REASONS, MOST_FINDINGS, MOST_CHANGES = 6, 2, 6
NOTE = "note"  # level of findings that ask for nothing


def figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an audit summary that verdicts compare. `reasons` count each clip once, also those quarantined."""
    reasons = {**summary["reasons"], **summary["curation"]}
    counted = {name: int(facts["counted"]) for name, facts in reasons.items() if facts["counted"]}
    return {
        "version": summary["version"],
        "policy": summary["policy"],
        "clips": int(summary["total"]["clips"]),
        "hours": float(summary["total"]["hours"]),
        "kept": int(summary["selected"]["clips"]),
        "kept_hours": float(summary["selected"]["hours"]),
        "reasons": counted,
        "quarantined": sum(summary["quarantine"].values()),
    }


def verdict_lines(summary: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[str]:
    """The page's answer, clips and hours kept, by reason, the change against `before`, and the gravest findings.

    `before` is the figures of the last audit of this corpus, or None.
    """
    now = figures(summary)
    gravest = [finding["text"] for finding in summary["findings"] if finding["level"] != NOTE][:MOST_FINDINGS]
    kept = f"kept {now['kept']:,} of {now['clips']:,} clips, {_hours(now['kept_hours'])} of {_hours(now['hours'])}"
    return [
        f"Can I train on {summary['corpus']}? {answer(dict(summary))['headline']}",
        f"Policy {now['policy']}: {kept}.",
        *_left_out(now),
        _change(now, before),
        *(f"Look at: {_printable(text)}" for text in gravest),
    ]


def _left_out(now: Mapping[str, Any]) -> Iterator[str]:
    reasons = sorted(now["reasons"].items(), key=lambda each: (-each[1], each[0]))
    shown = [f"{name} {count:,}" for name, count in reasons[:MOST_REASONS]]
    if more := reasons[MOST_REASONS:]:
        clips = sum(count for _, count in more)
        shown.append(f"{len(more)} other reason{'s' * (len(more) > 1)} {clips:,}")
    if shown:
        yield f"Left out: {', '.join(shown)}."
    if now["quarantined"]:
        rows = now["quarantined"]
        yield f"Quarantined: {rows:,} unusable row{'s' * (rows > 1)} of the listing."


def _change(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "This is the first audit of this corpus."
    changes = [*_changed_counts(now, before), *_changed_reasons(now["reasons"], before["reasons"])]
    if changes:
        return f"Since the last audit: {', '.join(changes)}."
    if now["version"] != before["version"]:
        return "Since the last audit: other recordings or texts, the same counts."
    return "No change since the last audit."


def _changed_counts(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if now["policy"] != before["policy"]:
        yield f"policy {before['policy']} → {now['policy']}"
    for name in ("clips", "kept", "quarantined"):
        if now[name] != before[name]:
            yield f"{name} {before[name]:,} → {now[name]:,}"
    was, is_now = _hours(before["kept_hours"]), _hours(now["kept_hours"])
    if was != is_now:
        yield f"{was} → {is_now} kept"


def _changed_reasons(now: Mapping[str, int], before: Mapping[str, int]) -> Iterator[str]:
    """The largest changes first."""
    pairs = {name: (before.get(name, 0), now.get(name, 0)) for name in sorted({*before, *now})}
    changed = sorted((name for name, (was, is_now) in pairs.items() if was != is_now),
                     key=lambda name: -abs(pairs[name][1] - pairs[name][0]))  # fmt: skip
    for name in changed[:MOST_CHANGES]:
        yield f"{name} {pairs[name][0]:,} → {pairs[name][1]:,}"
    if more := len(changed[MOST_CHANGES:]):
        yield f"{more} more reason{'s' * (more > 1)}"


def _printable(text: str) -> str:
    """One line without what moves a terminal's cursor: findings quote texts and names of the corpus."""
    return "".join(character if character.isprintable() else " " for character in text)


def _hours(value: float) -> str:
    return written(value, "hours") if value else "nothing"
