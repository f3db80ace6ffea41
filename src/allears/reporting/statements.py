"""What the tables of a corpus say, as sentences under the questions of a datasheet: what both documents are made of.

Neither texts nor ids of speakers are quoted. A group of people is named only when it can be assessed or dominates, and
is more than a few; values of labels never are, because a label may be a person's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears import __version__
from allears.audit.disparity import ANY
from allears.frames import to_hours
from allears.params.audit import AuditParams
from allears.reporting.html import written
from allears.shards.handle import ShardSet
from allears.tracking.flatten import flatten

OF_MANIFEST = (
    "codec", "sample_rate_hz", "split", "split_origin", "text", "label", "language", "accent", "gender", "age",
    "speaker", "session",
)  # fmt: skip
KNOWN = OF_MANIFEST[4:]
GROUPS = ("language", "accent", "gender", "age")  # axes of people; only their cells are named
UNKNOWN = "unknown"
MOST_SHOWN = 12  # formats, groups of an axis
FEWEST_NAMED = 5  # speakers: to say of fewer what they have in common is to say it of persons


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """`known`: column → clips that have it; `formats`: (codec, Hz) → clips; `origins`: split → given, carved or both;
    `languages`: as the corpus names them.
    """

    clips: int
    known: Mapping[str, int]
    formats: Mapping[tuple[str, int], int]
    origins: Mapping[str, str]
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFacts:
    """All that the documents say. `sources`: as `ingest` settled them; `rules`: of the policy, in words; `answers`: of
    people, by question.
    """

    sources: Sequence[Mapping[str, Any]]
    manifest: ManifestFacts
    summary: Mapping[str, Any]
    representation: pd.DataFrame
    params: AuditParams
    rules: Sequence[str]
    answers: Mapping[str, str]
    shards: ShardSet | None = None


def manifest_facts(parts: Iterable[pd.DataFrame]) -> ManifestFacts:
    """Counted part by part; a part needs the columns OF_MANIFEST."""
    clips, known, formats, origins = 0, Counter[str](), Counter[tuple[str, int]](), dict[str, set[str]]()
    languages: set[str] = set()
    for part in parts:
        clips += len(part)
        known.update({name: int(part[name].notna().sum()) for name in KNOWN})
        formats.update(zip(part["codec"], part["sample_rate_hz"], strict=True))
        for split, origin in part[["split", "split_origin"]].drop_duplicates().itertuples(index=False, name=None):
            origins.setdefault(split, set()).add(origin)
        languages |= set(part["language"].dropna().unique())
    joined = {split: " and ".join(sorted(found)) for split, found in origins.items()}
    return ManifestFacts(clips, known, formats, joined, tuple(sorted(languages)))


def statements(facts: CorpusFacts) -> dict[str, list[str]]:
    """Question key → sentences from the tables; keys that no table knows are left out."""
    found = _composition(facts) | _people(facts) | _making(facts) | _use(facts)
    return {key: lines for key, lines in found.items() if lines}


def one_line(text: str, most: int = 80) -> str:
    """`text` of a corpus as one line of printable characters, cut to `most`."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def gap_lines(gaps: Mapping[str, float]) -> list[str]:
    """What of the recordings is in no clip, by hours of `pauses` and `withdrawn`; nothing where nothing is."""
    means = {"pauses": "pauses between the clips", "withdrawn": "withdrawn pieces of recordings that stay"}
    return [f"In no clip: {written(gaps[kind], 'hours')}, {said}." for kind, said in means.items() if gaps[kind]]


def _composition(facts: CorpusFacts) -> dict[str, list[str]]:
    total, selected = facts.summary["total"], facts.summary["selected"]
    rows = sum(facts.summary["quarantine"].values())
    formats = sorted(facts.manifest.formats.items(), key=lambda item: (-item[1], item[0]))
    return {
        "instances": ["A clip: a recording, or a piece of one (file, channel, start, end)."],
        "count": [
            f"{_amount(total)}; {_amount(selected)} pass the audit.",
            *([f"{rows:,} more rows were listed and cannot be used; they are in the quarantine."] if rows else []),
            *gap_lines(facts.summary["gaps"]),
        ],
        "instance_data": [
            f"{one_line(codec)} at {hz:,} Hz: {clips:,} clips." for (codec, hz), clips in formats[:MOST_SHOWN]
        ] + ([f"{len(formats) - MOST_SHOWN} more formats."] if len(formats) > MOST_SHOWN else []),
        "labels": [_given(facts, name) for name in ("text", "label")],
        "missing": [
            *(_given(facts, name) for name in (*GROUPS, "speaker", "session")),
            "What is unknown stays empty and is a group of its own; nothing about a person is inferred.",
        ],
        "relationships": [
            f"Clips of one speaker, else session, else recording belong together: {total['groups']:,} of these groups."
        ],
        "splits": [
            f"{name}: {_amount(split)} ({facts.manifest.origins.get(name, 'empty')})."
            for name, split in facts.summary["splits"].items()
        ] + _in_two_splits(facts.summary),
        "errors": _errors(facts.summary),
        "self_contained": [
            "The manifest points at the source files, by path and sha256, and copies none. Shards hold all they need."
        ],
    }  # fmt: skip


def _in_two_splits(summary: Mapping[str, Any]) -> list[str]:
    leaks = summary["leaks"]
    groups, sessions = len(summary["leaking_groups"]), leaks["session"]["sessions"]
    return [
        f"In more than one split: {groups:,} speakers, sessions or recordings; {sessions:,} sessions by others.",
        f"Copies of a clip of a split that is further held out: {leaks['copy']['clips']:,}.",
        f"Of these, selected all the same: {sum(leak['selected'] for leak in leaks.values()):,} clips.",
    ]


def _errors(summary: Mapping[str, Any]) -> list[str]:
    found = [
        f"{name} ({reason['verdict']}), {reason['means']}: {reason['clips']:,} clips, "
        f"{written(reason['hours'], 'hours')}."
        for name, reason in summary["reasons"].items()
    ]
    found += [f"{name} (quarantine): {rows:,} rows." for name, rows in summary["quarantine"].items()]
    return found or ["The audit found none."]


def _people(facts: CorpusFacts) -> dict[str, list[str]]:
    speakers, who = facts.summary["total"]["speakers"], facts.summary["speaker_hours"]
    given = [name for name in ("gender", "age", "accent", "language") if facts.manifest.known[name]]
    ids = f"{speakers:,} ids of speakers are recorded as the corpus gives them." if speakers else "No ids are recorded."
    table = facts.representation[facts.representation["clips"] > 0]  # a target may name groups that are not there
    cells = table[~table["assessable"] & (table["cell"] != UNKNOWN)]
    least = facts.params.assessable
    silent = [name for name in GROUPS if not facts.manifest.known[name]]
    talkative = (
        "The most talkative hundredth of the speakers, sessions or recordings (at least one) has "
        f"{written(who['top_percent_share'], 'percent')} of the selected hours; Gini coefficient {who['gini']:.2f}."
    )
    too_few = (
        f"Conclusions about groups with fewer than {least.speakers} speakers or {least.clips} clips, which are "
        f"{len(cells):,} of those that the audit counts: they are not assessable."
    )
    return {
        "subpopulations": [line for axis in GROUPS for line in _groups(table, facts.summary["disparity"], axis)],
        "identifiable": ["A voice can identify a person.", ids],
        "sensitive": [f"Given by the corpus and recorded for each clip: {', '.join(given)}."] if given else [],
        "future_risks": [
            talkative,
            *([f"Nothing is known of {', '.join(silent)}: gaps there cannot be seen."] if silent else []),
        ],
        "unsuitable_uses": [too_few],
    }


def _groups(table: pd.DataFrame, disparity: list[dict[str, Any]], axis: str) -> list[str]:
    """Shares of the hours; what the cut-offs take away; who dominates."""
    rows = table[table["axis"] == axis].sort_values("hours", ascending=False, kind="stable")
    if rows.empty or (rows["cell"] == UNKNOWN).all():
        return [f"{axis}: unknown for all clips."] if len(rows) else []
    names = rows["cell"].map(one_line).map(repr).where(rows["clusters"] >= FEWEST_NAMED, "a group of very few")
    rows = rows.assign(named=names.where(rows["cell"] != UNKNOWN, UNKNOWN))
    name_of = dict(zip(rows["cell"], rows["named"], strict=True))
    large = (rows["assessable"] | rows["dominant"]) & (rows["clusters"] >= FEWEST_NAMED)
    named = rows[large | (rows["cell"] == UNKNOWN)][:MOST_SHOWN]
    shares = [
        f"{row['named']} {written(row['share'], 'percent')} "
        f"({written((row['share_low'], row['share_high']), 'interval')})"
        for row in named.to_dict("records")
    ]
    rest = rows.drop(named.index)
    if len(rest):
        shares.append(f"{len(rest):,} others {written(rest['share'].sum(), 'percent')}")
    lines = [f"{axis}, share of the hours (95 % interval): {'; '.join(shares)}."]
    lines += [f"{axis}: {name} dominates." for name in rows.loc[rows["dominant"], "named"]]
    return lines + [
        f"{axis}: the cut-offs keep {name_of[row['cell']]} {row['keep_ratio']:.2f} times as often as the best kept "
        f"(95 % interval {row['low']:.2f} to {row['high']:.2f})."
        for row in disparity
        if row["axis"] == axis and row["reason"] == ANY
    ]


def _name(source: Mapping[str, Any]) -> str:
    """Its name, and the URL of a bucket; folders of this machine are nobody else's business."""
    url = source.get("url")
    return one_line(source["name"]) + (f" ({one_line(url)})" if url else "")


def _making(facts: CorpusFacts) -> dict[str, list[str]]:
    verdicts, selected = facts.summary["verdicts"], facts.summary["selected"]
    left_out = (
        f"{verdicts['hard']['clips']:,} clips have a hard verdict and are in no shard; "
        f"{verdicts['soft']['clips']:,} have a soft one; {selected['clips']:,} are selected for training and tests."
    )
    labelled = facts.manifest.known["text"] or facts.manifest.known["label"]
    return {
        "acquired": [
            f"Source {_name(source)}: read as {source.get('layout', UNKNOWN)}, licence "
            f"{one_line(str(source.get('licence', UNKNOWN)))}."
            for source in facts.sources
        ],
        "preprocessing": [
            "Every clip is decoded once to be measured; no source file is changed.",
            _shards(facts.shards),
        ],
        "cleaning": [
            left_out,
            *facts.rules,
            *(
                f"Set aside: {code}, for {aside['clips']:,} of the {aside['judged']:,} clips that it judges, because "
                "it describes the corpus or a group in it; it leaves none of these out."
                for code, aside in facts.summary["set_aside"].items()
            ),
            *_policy(facts.params),
        ],
        "raw_data": ["The source files stay as and where they are; each is known by its sha256."],
        "labelling": [] if labelled else ["No clip has a text or a label."],
        "software": [f"allears {__version__}."],
    }  # fmt: skip


_OWN: Any = {"measures": {"timeout_s", "workers"}, "text_model": True, "listen": True}  # of this machine and page


def _policy(params: AuditParams) -> list[str]:
    """What else decided, a line for each kind of parameter."""
    kinds = params.model_dump(mode="json", exclude=_OWN)
    rules = {kind: flatten(value) if isinstance(value, dict) else flatten({"": value}) for kind, value in kinds.items()}
    return [
        f"audit.{kind}: {'; '.join(f'{name} = {value}' if name else value for name, value in found.items())}."
        for kind, found in rules.items()
    ]


def _shards(shards: ShardSet | None) -> str:
    holds = "mono FLAC of every clip without a hard verdict"
    if shards is None:
        return f"No shards are written of this version; they would hold {holds}."
    amount = f"{shards.clips:,} clips, {written(to_hours(shards.seconds), 'hours')}"
    return f"Shards, version {shards.digest[:12]}, hold {holds}, at {shards.sample_rate_hz:,} Hz: {amount}."


def _use(facts: CorpusFacts) -> dict[str, list[str]]:
    licences = [
        f"{one_line(row['licence'])}: {row['clips']:,} clips of {', '.join(map(one_line, row['sources']))}, "
        f"{row['selected_clips']:,} of them selected."
        for row in facts.summary["licences"]
    ]
    tasks = ["Self-supervised pretraining of listening models."]
    tasks += ["Recognition of speech, from the texts."] if facts.manifest.known["text"] else []
    tasks += ["Classification by the label."] if facts.manifest.known["label"] else []
    return {
        "used_for": ["MLflow lists the trainings on it, with this version as that of their data."],
        "other_tasks": tasks,
        "licence": licences,
        "updates": [
            f"This is version {facts.summary['version'][:12]}; other recordings, texts or labels make another version."
        ],
    }


def _given(facts: CorpusFacts, name: str) -> str:
    clips, total = facts.manifest.known[name], facts.manifest.clips
    return f"{name}: given for {clips:,} of {total:,} clips." if clips else f"{name}: unknown for all clips."


def _amount(counts: Mapping[str, Any]) -> str:
    return f"{counts['clips']:,} clips, {written(counts['hours'], 'hours')}, {counts['speakers']:,} speakers"
