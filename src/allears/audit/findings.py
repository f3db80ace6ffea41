"""Findings about a corpus in sentences, each with a level `stop`, `warn` or `note`; the gravest come first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from allears.audit import licences
from allears.audit.disparity import ANY
from allears.audit.groups import CROSS
from allears.audit.signal_findings import about_signal
from allears.audit.split_findings import about_splits
from allears.audit.suspect import CORPUS, SetAside
from allears.params.audit import AuditParams

PERSONAL = ("language", "accent", "gender", "age")  # axes of people; a label is of what is heard
_SHOWN = 6
_RULES, _SCOPES = 5, 3
_TEXTS, _TEXT_CHARACTERS = 3, 60
Finding = dict[str, str]


def findings(summary: dict[str, Any], params: AuditParams) -> list[Finding]:
    """All findings of a summary, the gravest first."""
    found = [
        *_about_licences(summary, params),
        *_about_rules_set_aside(summary),
        *_about_clips(summary),
        *(_finding(level, text) for level, text in about_splits(summary["comparison"], _who(summary))),
        *_about_leaks(summary, params),
        *(_finding(level, text) for level, text in about_signal(summary["signal"])),
        *_about_texts(summary),
        *_about_decisions(summary),
        *_about_curation(summary),
        *_about_filters(summary),
        *_about_people(summary, params),
    ]
    order = ("stop", "warn", "note")
    return sorted(found, key=lambda finding: order.index(finding["level"]))


def _about_licences(summary: dict[str, Any], params: AuditParams) -> Iterator[Finding]:
    for reason in ("licence_unknown", "licence_denied"):
        if facts := summary["reasons"].get(reason):
            text = f"{_clips(facts['clips'])} may not be used: {facts['means']}."
            if reason == "licence_unknown":
                names = [row["licence"] for row in summary["licences"]]
                unknown = [name for name in names if licences.standing(name, params.licences) == "unknown"]
                words = summary["licence_words"]
                text += f" The {licences.how_to_declare(summary['corpus'], unknown, params.licences, words)}."
            yield _finding("warn", text)


def _about_rules_set_aside(summary: dict[str, Any]) -> Iterator[Finding]:
    aside = summary["set_aside"]
    for code, facts in list(aside.items())[:_RULES]:
        text = f"{code} flags {rule_in_words(facts, summary['total']['clips'])}: look at the measure or the recording "
        for_them = "" if _of_corpus(facts) else " for them"
        text += f"chain; the rule is set aside{for_them}, audit.confirm=[{code}] applies it. "
        yield _finding("warn", text + f"Listen to {_listed(facts['examples'])}.", capital=False)
    if more := list(aside)[_RULES:]:
        yield _finding("warn", f"{len(more):,} more rules are set aside: {_listed(more)}.")


def rule_in_words(facts: SetAside, total: int) -> str:
    """Return what a rule that is set aside flags: `77 % of the clips (2,467)`."""
    if _of_corpus(facts):
        whom = "the clips" if facts["judged"] == total else f"the {facts['judged']:,} clips that it judges"
        return f"{100 * facts['share']:.0f} % of {whom} ({facts['clips']:,})"
    scopes = [f"{scope['axis']} '{scope['cell']}' ({100 * scope['share']:.0f} %)" for scope in facts["scopes"]]
    more = len(scopes[_SCOPES:]) + facts["more_scopes"]
    named = ", ".join(scopes[:_SCOPES]) + (f" and {more:,} more" if more else "")
    return f"nearly all clips of {named}: {facts['clips']:,}"


def _of_corpus(facts: SetAside) -> bool:
    return facts["scopes"][0]["axis"] == CORPUS


def _about_decisions(summary: dict[str, Any]) -> Iterator[Finding]:
    decided = summary["overrides"]
    if decided["kept"] or decided["dropped"]:
        text = f"Decided by a person, against the policy: {decided['kept']:,} kept, {decided['dropped']:,} dropped."
        yield _finding("note", text)
    if decided["refused"]:
        reasons = ", ".join(f"{code} {clips:,}" for code, clips in decided["refused"].items())
        who = f"Kept by a person, but out all the same: {_clips(decided['refused_clips'])} ({reasons})."
        yield _finding("warn", f"{who} A hard reason and a leak are not for a person to forgive.")


def _about_clips(summary: dict[str, Any]) -> Iterator[Finding]:
    total, passed = summary["total"], summary["passed"]
    if summary["splits"]["train"]["selected_clips"] == 0:
        reasons = [f"{code} {facts['clips']:,}" for code, facts in _most_frequent(summary["reasons"])]
        yield _finding("stop", f"No clip is left to train on. Reasons: {_listed(reasons) or 'none'}.")
    for name, least in (("dev", "tune on"), ("test", "be tested on")):
        if summary["splits"][name]["selected_clips"] == 0:
            yield _finding("warn", f"No clip is left to {least}: the {name} split is empty.")
    lost = 1 - passed["clips"] / max(total["clips"], 1)
    if lost > 0.2:
        yield _finding("warn", f"{lost:.0%} of the clips are left out; see the reasons below.")
    if silenced := total["speakers"] - passed["speakers"]:
        yield _finding("warn", f"Left out entirely: {silenced:,} of {total['speakers']:,} speakers.")
    if summary["quarantine"]:
        rows = sum(summary["quarantine"].values())
        yield _finding("note", f"{rows:,} listed row(s) were unusable and are in the quarantine.")


def _most_frequent(reasons: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(reasons.items(), key=lambda item: -item[1]["clips"])


def _about_leaks(summary: dict[str, Any], params: AuditParams) -> Iterator[Finding]:
    if names := summary["leaking_groups"]:
        text = f"In more than one split: {len(names):,} of {summary['total']['groups']:,} {_who(summary)}"
        yield _finding("warn", f"{text}; their clips on the training side are left out.")
    session = summary["leaks"]["session"]
    if session["clips"]:
        text = (
            f"In more than one split, with other speakers: {session['sessions']:,} of {session['of']:,} sessions "
            f"({_clips(session['clips'])} on the training side)"
        )
        if session["selected"]:
            text += (
                f". {_clips(session['selected'])} of them stay: they are more of their split than "
                f"audit.max_session_share={params.max_session_share:g}, as where a session is a day or a room. If a "
                "session gives a held-out clip away, set that to 1 or give the corpus splits by session"
            )
        else:
            text += "; these are left out"
        yield _finding("warn", text + ".")
    for kind, what in (("copy", "are copies of"), ("overlap", "overlap in the same file with")):
        leaks = summary["leaks"][kind]
        if leaks["train"]:
            yield _finding("warn", f"Training clips that {what} held-out ones: {leaks['train']:,}; none is trained on.")
        if more := leaks["clips"] - leaks["train"]:
            yield _finding("warn", f"Dev clips that {what} test ones: {more:,}; they are left out.")


def _about_texts(summary: dict[str, Any]) -> Iterator[Finding]:
    for row in summary["doubtful_texts"][:_TEXTS]:
        text = row["text"] if len(row["text"]) <= _TEXT_CHARACTERS else row["text"][:_TEXT_CHARACTERS] + "…"
        yield _finding(
            "warn",
            f"The text '{text}' is that of {_clips(row['clips'])} ({row['share']:.1%} of those with a text) that last "
            f"{row['short_s']:.1f} to {row['long_s']:.1f} s: hardly the same words each time; listen to some.",
        )
    if more := len(summary["doubtful_texts"][_TEXTS:]):
        yield _finding("warn", f"{more:,} more texts are like that; they are listed under the texts.")


def _about_curation(summary: dict[str, Any]) -> Iterator[Finding]:
    passed, selected = summary["passed"], summary["selected"]
    if clips := summary["left_out"]["curation"]:
        hours = passed["hours"] - selected["hours"]
        text = (
            f"The curation leaves out {_clips(clips)} ({hours:.2f} hours) of the training split that the policy keeps"
        )
        gone = passed["speakers"] - selected["speakers"]
        yield _finding("note", text + (f", and with them {gone:,} speakers entirely." if gone else "."))


def _about_filters(summary: dict[str, Any]) -> Iterator[Finding]:
    """One sentence a filter and group; ANY only where no single filter is named, crossed groups likewise."""
    named: set[tuple[str, str]] = set()
    rows = sorted(summary["disparity"], key=lambda row: (CROSS in row["axis"], row["reason"] == ANY, not row["warned"]))
    for row in rows:
        places = set(zip(row["axis"].split(CROSS), row["cell"].split(CROSS), strict=False))
        if places & named:
            continue
        named |= {(row["axis"], row["cell"])} if row["warned"] else set()
        subject = "all filters together" if row["reason"] == ANY else f"'{row['reason']}'"
        text = (
            f"{row['axis']}: {subject} {'' if row['warned'] else 'possibly '}removes more of '{row['cell']}' "
            f"({1 - row['keep_rate']:.0%}) than of '{row['best']}' ({1 - row['best_keep_rate']:.0%}): kept "
            f"{row['keep_ratio']:.2f} times as often (95 %: {row['low']:.2f} to {row['high']:.2f})."
        )
        yield _finding("warn" if row["warned"] else "note", text)


def _about_people(summary: dict[str, Any], params: AuditParams) -> Iterator[Finding]:
    people = summary["selected"]["groups"]
    who, least = _who(summary), params.assessable
    if 0 < people < least.speakers:
        yield _finding("warn", f"Only {people} {who}: no conclusion about groups of people is possible.")
    for axis, facts in summary["axes"].items():
        yield from _missing(axis, facts)
        if CROSS not in axis:
            yield from _about_axis(axis, facts, who, params)
    silent = [axis for axis, facts in summary["axes"].items() if facts["disclosed_share"] == 0 and CROSS not in axis]
    if silent:
        yield _finding("note", f"Nothing is known of: {', '.join(silent)}. Gaps there cannot be seen.")


def _about_axis(axis: str, facts: dict[str, Any], who: str, params: AuditParams) -> Iterator[Finding]:
    least, few = params.assessable, facts["not_assessable"]
    for cell, share in facts["dominant"].items():
        text = f"{axis}: '{cell}' has {share:.0%} of the hours; check how well the others are served."
        yield _finding("warn", text)
    if facts["only"] is not None:
        only = f"{axis}: '{facts['only']}' is the only one there is"
        if facts["disclosed_share"] < 1:
            only += f" (of the {facts['disclosed_share']:.0%} of the hours of which it is known)"
        level = "warn" if axis in ("gender", "accent", "age") else "note"
        yield _finding(level, f"{only}: how well any other would be served cannot be seen here.")
    elif axis in PERSONAL and facts["cells"] and facts["most_speakers"] < least.speakers:
        most = facts["most_speakers"]
        each = f"each of the {facts['cells']} groups is one of the {who}" if most == 1 else (
            f"none of the {facts['cells']} groups has more than {most} {who}"
        )  # fmt: skip
        text = f"{axis}: {each}, so what is due to the {axis} cannot be told from what is due to the person"
        yield _finding("warn", f"{text}: no conclusion about {axis} is possible.")
    elif few:
        text = f"{axis}: not assessable, because under {least.speakers} {who} or {least.clips} clips: {_listed(few)}."
        yield _finding("note", text)


def _missing(axis: str, facts: dict[str, Any]) -> Iterator[Finding]:
    if facts["lacking"]:
        cells = [f"{cell} ({share:.0%})" for cell, share in facts["lacking"].items()]
        yield _finding(
            "warn", f"{axis}: the target '{facts['target']}' has {_listed(cells)}, the corpus has none of it."
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _finding(level: str, text: str, *, capital: bool = True) -> Finding:
    return {"level": level, "text": text[0].upper() + text[1:] if capital else text}


def _who(summary: dict[str, Any]) -> str:
    if summary["total"]["speakers"] == 0:
        return "recordings or sessions"
    return "speakers" if summary["total"]["speakers"] == summary["total"]["groups"] else "speakers or recordings"


def _clips(count: int) -> str:
    return f"{count:,} clip" + ("" if count == 1 else "s")
