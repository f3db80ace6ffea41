"""Nodes of `ingest`: sources → listing → headers → manifest and quarantine."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from allears.corpus.manifest import NO_GAPS, Manifest
from allears.corpus.unchanged import NEW, State
from allears.frames import to_hours
from allears.params.base import Paths
from allears.params.corpus import SAMPLE, CorpusSettings
from allears.params.ingest import IngestParams
from allears.storage.files import read_json

if TYPE_CHECKING:
    from allears.corpus.build import Built

logger = logging.getLogger(__name__)


def look_at_sources(corpus_settings: dict[str, Any], paths: Paths, ingest: IngestParams) -> State:
    """Whether the sources are as they were ingested; the embedded sample is built first where it is asked for."""
    from allears.corpus.unchanged import state_of

    settings = CorpusSettings.model_validate(corpus_settings)
    if settings.corpus == SAMPLE:
        from allears.corpus.sample.build import build_sample

        build_sample(Path(settings.sources[0].path).parent, ingest.sample, workers=ingest.workers)
    state = state_of(settings, paths, ingest)
    if state.known:
        logger.info("corpus %s: all files are as they were ingested", settings.corpus)
    return state


def collect_sources(corpus_settings: dict[str, Any], paths: Paths, state: State = NEW) -> list[dict[str, Any]]:
    """Settle every source's layout and say it; buckets are listed first."""
    from allears.corpus.listing import Source, resolve

    settings = CorpusSettings.model_validate(corpus_settings)
    known = read_json(paths.intermediate / "sources.json") if state.known else None
    sources = resolve(settings, paths) if known is None else [Source.from_json(source) for source in known]
    for source in sources:
        logger.info("corpus %s, source %s: %s", settings.corpus, source.name, source.url or source.root)
        logger.info("  read as %s: %s; licence %s", source.layout, source.why, source.licence)
    return [source.to_json() for source in sources]


def read_layouts(sources: list[dict[str, Any]], paths: Paths, ingest: IngestParams, state: State = NEW) -> pd.DataFrame:
    """Read what the corpus says of its recordings: one row a clip or unusable line. Withdrawn ones stay nameless."""
    from allears.corpus.listing import Source, read_listing, unlisted
    from allears.corpus.withdrawn import Refused, read_tombstones

    known = [Source.from_json(source) for source in sources]
    if state.known:
        listing = pd.read_parquet(paths.intermediate / "listing.parquet")
        logger.info("%d rows listed, as before", len(listing))
        return listing
    listed = read_listing(known, ingest.limit)
    logger.info("%d rows listed%s", len(listed), "" if ingest.limit is None else f" (ingest.limit={ingest.limit})")
    if ingest.limit is None:
        for source, below, beside in unlisted(known, listed):
            if below:
                logger.warning("source %s: %d recordings that no line describes are not used", source.name, below)
            if beside:
                logger.warning(
                    "source %s: %d recordings that no line describes are not used, elsewhere in folders that it names",
                    source.name, beside,
                )  # fmt: skip
    return Refused(read_tombstones(paths)).blank(listed)


def probe_files(listing: pd.DataFrame, paths: Paths, ingest: IngestParams, state: State = NEW) -> pd.DataFrame:
    """Digest and header of every file, read once; a file's facts are kept until its size or time changes."""
    if state.known:
        return pd.read_parquet(paths.intermediate / "headers.parquet")
    from allears.corpus.listing import recordings_of
    from allears.corpus.probe import Probed
    from allears.corpus.probe import probe_files as probe

    usable = listing[listing["reason"].isna()]
    facts = probe(recordings_of(usable), paths.intermediate / "probe.jsonl", workers=ingest.workers)
    logger.info("%d recordings: %d read now, the rest known", len(facts), sum(fact.fresh for fact in facts.values()))
    names = [field.name for field in fields(Probed) if field.name != "fresh"]
    known = attrgetter(*names)
    rows = [(str(each.file), each.member, *known(fact)) for each, fact in facts.items()]
    return pd.DataFrame(rows, columns=["file", "member", *names]).astype({"member": "string"})


def build_manifest(
    listing: pd.DataFrame, headers: pd.DataFrame, paths: Paths, ingest: IngestParams, state: State = NEW
) -> tuple[Manifest, pd.DataFrame]:
    """Rows of the manifest and of the quarantine; their sum is that of the listing.

    The manifest that is there is read first: what is known keeps its id, place and split (`corpus.deliveries`).
    """
    from allears.corpus import versions
    from allears.corpus.build import build, check_share, write_manifest
    from allears.corpus.clips import Recording
    from allears.corpus.corrections import corrections_file, read_corrections
    from allears.corpus.deliveries import before_of, keep_carved, manifest_of, seconds_of
    from allears.corpus.left import note_left, read_left, told
    from allears.corpus.probe import Probed
    from allears.corpus.speech import find_speech, to_hear
    from allears.corpus.withdrawn import Refused, read_tombstones
    from allears.storage.tables import records

    known = manifest_of(paths)
    if state.known and known is not None:
        quarantine = pd.read_parquet(paths.intermediate / "quarantine.parquet")
        logger.info("%d clips, %d rows quarantined, as before", known.rows, len(quarantine))
        return known, quarantine
    facts = {Recording(Path(record.pop("file")), record.pop("member")): Probed(**record) for record in records(headers)}
    before = before_of(paths)
    corrected = corrections_file(paths)
    corrections = read_corrections(corrected)
    heard = find_speech(to_hear(listing, facts, ingest), paths.intermediate / "speech.jsonl", workers=ingest.workers)
    built = build(listing, facts, ingest, before, Refused(read_tombstones(paths)), corrections, heard, read_left(paths))
    check_share(built, ingest.max_quarantine_share, paths.corpus)
    deliveries = seconds_of(built.clips, before.deliveries if before else ())
    parent = known.digest if known else None
    keep_carved(paths, before, built.clips)
    if before is not None:
        note_left(paths, set(before.clips["clip"]) - set(built.clips["clip"]))
    manifest = write_manifest(built.clips, paths.intermediate / "manifest", deliveries, parent)
    manifest = replace(manifest, gaps=built.gaps)
    if known is not None and manifest.digest == known.digest:
        manifest = replace(manifest, parent=known.parent)  # nothing is new: the version stays what it was
    changes = versions.changes_between(before.clips if before else None, built.clips).counts()
    splits = ingest.splits.model_dump(mode="json")
    versions.record(paths, manifest, built.clips, changes, {"splits": splits})
    _tell(built, manifest, changes, known)
    for remark in built.remarks.sentences():
        logger.warning("%s", remark)
    if built.idle:
        logger.warning("%s", told(built.idle, "correction(s)", corrected))
    if known is not None and versions.current(paths).settings.get("splits", splits) != splits:
        logger.warning("ingest.splits is another than before: known groups stay in their split, new ones go by it")
    return manifest, built.quarantine


def note_ingested(listing: pd.DataFrame, quarantine: pd.DataFrame, paths: Paths, state: State) -> bool:
    """Write down what was ingested, now that all of it is saved; whether the next run can recognise it."""
    from allears.corpus.unchanged import note

    return state.known or note(state, paths, listing, quarantine)


def _tell(built: Built, manifest: Manifest, changes: dict[str, int], known: Manifest | None) -> None:
    hours = to_hours(float((built.clips["end_s"] - built.clips["start_s"]).sum()))
    logger.info(
        "%d rows listed = %d used (%d clips, %.2f h, %d groups) + %d quarantined%s",
        len(built.quarantine) + built.rows_used, built.rows_used, manifest.rows, hours,
        built.clips["group"].nunique(), len(built.quarantine),
        "".join(f", {count} {reason}" for reason, count in Counter(built.quarantine["reason"]).most_common()),
    )  # fmt: skip
    if built.gaps != NO_GAPS:
        pauses, withdrawn = to_hours(built.gaps.pauses_s), to_hours(built.gaps.withdrawn_s)
        logger.info(
            "%.2f h of recordings = %.2f h in clips + %.2f h of pauses + %.2f h withdrawn",
            hours + pauses + withdrawn, hours, pauses, withdrawn,
        )  # fmt: skip
    if known is not None:
        told = ", ".join(f"{count} {name}" for name, count in changes.items() if count) or "nothing is new"
        logger.info("against version %s: %s", known.digest[:12], told)
