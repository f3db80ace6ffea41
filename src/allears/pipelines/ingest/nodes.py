"""Nodes of `ingest`: sources → listing → headers → manifest and quarantine."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from allears.audio.frames import to_hours
from allears.corpus.manifest import Manifest
from allears.params.base import Paths
from allears.params.corpus import SAMPLE, CorpusSettings
from allears.params.ingest import IngestParams

if TYPE_CHECKING:
    from allears.corpus.build import Built

logger = logging.getLogger(__name__)


def collect_sources(corpus_settings: dict[str, Any], paths: Paths, ingest: IngestParams) -> list[dict[str, Any]]:
    """Settle every source's layout and say it; the embedded sample is built and buckets are listed first."""
    from allears.corpus.listing import resolve

    settings = CorpusSettings.model_validate(corpus_settings)
    if settings.corpus == SAMPLE:
        from allears.corpus.sample.build import build_sample

        build_sample(Path(settings.sources[0].path).parent, ingest.sample, workers=ingest.workers)
    sources = resolve(settings, paths)
    for source in sources:
        logger.info("corpus %s, source %s: %s", settings.corpus, source.name, source.url or source.root)
        logger.info("  read as %s: %s; licence %s", source.layout, source.why, source.licence)
    return [source.to_json() for source in sources]


def read_layouts(sources: list[dict[str, Any]], paths: Paths, ingest: IngestParams) -> pd.DataFrame:
    """Read what the corpus says of its recordings: one row a clip or unusable line. Withdrawn ones stay nameless."""
    from allears.corpus.listing import Source, read_listing, unlisted
    from allears.corpus.withdrawn import Refused, read_tombstones

    known = [Source.from_json(source) for source in sources]
    listing = Refused(read_tombstones(paths)).blank(read_listing(known, ingest.limit))
    logger.info("%d rows listed%s", len(listing), "" if ingest.limit is None else f" (ingest.limit={ingest.limit})")
    if ingest.limit is None:
        for source, count in unlisted(known, listing):
            if count:
                logger.warning("source %s: %d recordings that no line describes are not used", source.name, count)
    return listing


def probe_files(listing: pd.DataFrame, paths: Paths, ingest: IngestParams) -> pd.DataFrame:
    """Digest and header of every file, read once; a file's facts are kept until its size or time changes."""
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
    listing: pd.DataFrame, headers: pd.DataFrame, paths: Paths, ingest: IngestParams
) -> tuple[Manifest, pd.DataFrame]:
    """Rows of the manifest and of the quarantine; their sum is that of the listing.

    The manifest that is there is read first: what is known keeps its id, place and split (`corpus.deliveries`).
    """
    from allears.corpus import versions
    from allears.corpus.build import build, check_share, write_manifest
    from allears.corpus.clips import Recording
    from allears.corpus.corrections import corrections_file, read_corrections
    from allears.corpus.deliveries import before_of, keep_carved, manifest_of, seconds_of
    from allears.corpus.probe import Probed
    from allears.corpus.speech import find_speech, to_hear
    from allears.corpus.withdrawn import Refused, read_tombstones
    from allears.storage.tables import records

    facts = {Recording(Path(record.pop("file")), record.pop("member")): Probed(**record) for record in records(headers)}
    known = manifest_of(paths)
    before = before_of(paths)
    corrections = read_corrections(corrections_file(paths))
    heard = find_speech(to_hear(listing, facts, ingest), paths.intermediate / "speech.jsonl", workers=ingest.workers)
    built = build(listing, facts, ingest, before, Refused(read_tombstones(paths)), corrections, heard)
    check_share(built, ingest.max_quarantine_share, paths.corpus)
    deliveries = seconds_of(built.clips, before.deliveries if before else ())
    parent = known.digest if known else None
    keep_carved(paths, before, built.clips)
    manifest = write_manifest(built.clips, paths.intermediate / "manifest", deliveries, parent)
    if known is not None and manifest.digest == known.digest:
        manifest = replace(manifest, parent=known.parent)  # nothing is new: the version stays what it was
    changes = versions.changes_between(before.clips if before else None, built.clips).counts()
    splits = ingest.splits.model_dump(mode="json")
    versions.record(paths, manifest, built.clips, changes, {"splits": splits})
    _tell(built, manifest, changes, known)
    if known is not None and versions.current(paths).settings.get("splits", splits) != splits:
        logger.warning("ingest.splits is another than before: known groups stay in their split, new ones go by it")
    return manifest, built.quarantine


def _tell(built: Built, manifest: Manifest, changes: dict[str, int], known: Manifest | None) -> None:
    hours = to_hours(float((built.clips["end_s"] - built.clips["start_s"]).sum()))
    logger.info(
        "%d rows listed = %d used (%d clips, %.2f h, %d groups) + %d quarantined%s",
        len(built.quarantine) + built.rows_used, built.rows_used, manifest.rows, hours,
        built.clips["group"].nunique(), len(built.quarantine),
        "".join(f", {count} {reason}" for reason, count in Counter(built.quarantine["reason"]).most_common()),
    )  # fmt: skip
    if built.pauses_s:
        logger.info("%.2f h of the recordings are pauses, in no clip", to_hours(built.pauses_s))
    if known is not None:
        told = ", ".join(f"{count} {name}" for name, count in changes.items() if count) or "nothing is new"
        logger.info("against version %s: %s", known.digest[:12], told)
