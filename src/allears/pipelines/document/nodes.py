"""Nodes of `document`: what is known of a corpus → Croissant and datasheet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from allears.corpus.manifest import Manifest
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.policy import Policies
from allears.storage.digest import file_digest

if TYPE_CHECKING:
    from allears.shards.handle import ShardSet


def read_answers(paths: Paths) -> dict[str, str]:
    """What people answered in `datasheet.yml`: read first, so that a mistake in it is said before hours of decoding."""
    from allears.reporting import questions

    return questions.read_answers(paths.raw / questions.NAME)


def write_documents(
    sources: list[dict[str, Any]], manifest: Manifest, verdicts: pd.DataFrame, table: pd.DataFrame,
    audit_summary: dict[str, Any], answers: dict[str, str], shard_set: dict[str, Any], params: AuditParams,
    policies: Policies, paths: Paths,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The corpus as Croissant (JSON-LD) and as a datasheet (Markdown), from the audit's tables and people's answers;
    `shard_set` may be empty, or of other clips: then no shards are named.
    """
    from allears.audit.policy import in_words
    from allears.reporting.croissant import File, Shards, croissant
    from allears.reporting.datasheet import datasheet
    from allears.reporting.statements import OF_MANIFEST, CorpusFacts, manifest_facts

    shards = _shards_of(manifest, verdicts, shard_set)
    facts = CorpusFacts(
        sources=sources,
        manifest=manifest_facts(manifest.iter_parts(OF_MANIFEST)),
        summary=audit_summary,
        representation=table,
        params=params,
        rules=[
            f"Policy {audit_summary['policy']}: {code} ({rule.verdict}), {in_words(rule)}."
            for code, rule in policies.chosen(params.policy).root.items()
        ],
        answers=answers,
        shards=shards,
    )
    parts = [File(*_file(manifest.folder / name, paths.reports)) for name in manifest.parts]
    files = None
    if shards is not None:
        tars = _relative(shards.folder / f"{paths.corpus}-*.tar", paths.reports)
        files = Shards(tars, File(*_file(shards.index_path, paths.reports)))
    return croissant(facts, parts, files), datasheet(facts)


def _shards_of(manifest: Manifest, verdicts: pd.DataFrame, shard_set: dict[str, Any]) -> ShardSet | None:
    """The shards, if they are of just these clips."""
    from allears.shards.handle import ShardSet, made_from

    hard = set(verdicts.loc[verdicts["verdict"] == "hard", "clip"])
    if shard_set.get("made_from") != made_from(manifest.digest, hard):
        return None
    shards = ShardSet.from_json(shard_set)
    return shards if shards.index_path.exists() else None


def _file(path: Path, folder: Path) -> tuple[str, str, str, int]:
    return path.name, _relative(path, folder), file_digest(path), path.stat().st_size


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
