"""Steps of `audit` that write the documents of the corpus: Croissant and datasheet."""

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
from allears.storage.files import read_json

if TYPE_CHECKING:
    from allears.reporting.croissant import Shards


def read_answers(paths: Paths) -> dict[str, str]:
    """What people answered in `datasheet.yml`: read first, so that a mistake in it is said before hours of decoding."""
    from allears.reporting import questions

    return questions.read_answers(paths.raw / questions.NAME)


def write_documents(
    sources: list[dict[str, Any]], manifest: Manifest, verdicts: pd.DataFrame, table: pd.DataFrame,
    audit_summary: dict[str, Any], answers: dict[str, str], params: AuditParams, policies: Policies,
    paths: Paths,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The corpus as Croissant (JSON-LD) and as a datasheet (Markdown), from the audit's tables and people's answers."""
    from allears.audit.policy import in_words
    from allears.reporting.croissant import File, croissant
    from allears.reporting.datasheet import datasheet
    from allears.reporting.statements import OF_MANIFEST, CorpusFacts, manifest_facts

    facts = CorpusFacts(
        sources=sources,
        manifest=manifest_facts(manifest.iter_parts(OF_MANIFEST)),
        summary=audit_summary,
        representation=table,
        params=params,
        rules=[
            f"Policy {params.policy}, {code} ({rule.verdict}): {in_words(rule)}."
            for code, rule in policies.chosen(params.policy).root.items()
        ],
        answers=answers,
    )
    parts = [File(*_file(manifest.folder / name, paths.reports)) for name in manifest.parts]
    return croissant(facts, parts, _shards(manifest, verdicts, paths)), datasheet(facts)


def _shards(manifest: Manifest, verdicts: pd.DataFrame, paths: Paths) -> Shards | None:
    """The shards that were written of just these clips, or None: `shard` comes after `audit`."""
    from allears.reporting.croissant import File, Shards
    from allears.shards.handle import ShardSet, made_from

    handle = paths.shards / "shards.json"
    if not handle.exists():
        return None
    noted = read_json(handle)
    hard = set(verdicts.loc[verdicts["verdict"] == "hard", "clip"])
    if noted.get("made_from") != made_from(manifest.digest, hard):
        return None
    shard_set = ShardSet.from_json(noted)
    if not shard_set.index_path.exists():
        return None
    tars = _relative(shard_set.folder / f"{paths.corpus}-*.tar", paths.reports)
    return Shards(tars, File(*_file(shard_set.index_path, paths.reports)))


def _file(path: Path, folder: Path) -> tuple[str, str, str, int]:
    return path.name, _relative(path, folder), file_digest(path), path.stat().st_size


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
