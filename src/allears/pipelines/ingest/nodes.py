"""Nodes of `ingest`: sources → listing → headers → manifest and quarantine."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from allears.audio.frames import to_hours
from allears.corpus.manifest import Manifest
from allears.params.base import Paths
from allears.params.corpus import SAMPLE, CorpusSettings
from allears.params.ingest import IngestParams

logger = logging.getLogger(__name__)


def collect_sources(corpus_settings: dict[str, Any], ingest: IngestParams) -> list[dict[str, Any]]:
    """Settle every source's layout and say it; the embedded sample is built first where it is asked for."""
    from allears.corpus.listing import resolve

    settings = CorpusSettings.model_validate(corpus_settings)
    if settings.corpus == SAMPLE:
        from allears.corpus.sample.build import build_sample

        build_sample(Path(settings.sources[0].path).parent, ingest.sample, workers=ingest.workers)
    sources = resolve(settings)
    for source in sources:
        logger.info("corpus %s, source %s: %s", settings.corpus, source.name, source.root)
        logger.info("  read as %s: %s; licence %s", source.layout, source.why, source.licence)
    return [source.to_json() for source in sources]


def read_layouts(sources: list[dict[str, Any]], ingest: IngestParams) -> pd.DataFrame:
    """Read what the corpus says of its recordings: one row a clip or unusable line."""
    from allears.corpus.listing import Source, read_listing, unlisted

    known = [Source.from_json(source) for source in sources]
    listing = read_listing(known, ingest.limit)
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
    """Rows of the manifest and of the quarantine; their sum is that of the listing."""
    from allears.corpus.build import build, check_share, write_manifest
    from allears.corpus.clips import Recording
    from allears.corpus.probe import Probed
    from allears.storage.tables import records

    facts = {Recording(Path(record.pop("file")), record.pop("member")): Probed(**record) for record in records(headers)}
    built = build(listing, facts, ingest)
    check_share(built, ingest.max_quarantine_share, paths.corpus)
    manifest = write_manifest(built.clips, paths.intermediate / "manifest")
    hours = to_hours(float((built.clips["end_s"] - built.clips["start_s"]).sum()))
    logger.info(
        "%d rows listed = %d used (%d clips, %.2f h, %d groups) + %d quarantined%s",
        len(listing), built.rows_used, manifest.rows, hours, built.clips["group"].nunique(), len(built.quarantine),
        "".join(f", {count} {reason}" for reason, count in Counter(built.quarantine["reason"]).most_common()),
    )  # fmt: skip
    return manifest, built.quarantine
