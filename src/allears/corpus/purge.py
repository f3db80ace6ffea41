"""Take what was withdrawn out of a corpus's tables, journals and documents. Each step may be done again at any time."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allears.corpus import versions
from allears.corpus.build import write_manifest
from allears.corpus.deliveries import before_of, manifest_of
from allears.corpus.left import note_left
from allears.corpus.manifest import Gaps, Manifest
from allears.corpus.waste import temporary
from allears.corpus.withdrawal import Withdrawal, line_ids
from allears.engine.mapping import forget_where
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.storage.files import atomic_path, write_json, write_text
from allears.storage.tables import write_parquet

_OF_CLIPS = "clip"
_AGGREGATES = (
    "representation", "representation_axes", "disparity", "curation_table", "split_comparison", "split_differences",
)  # fmt: skip
_ANSWERS = "datasheet_answers.json"
_SUMMARY = "audit_summary.json"  # it quotes texts
_RECORDING = ["source", "path", "member"]
# Their keys tell no clip from another: made anew.
_OPAQUE = ("speech.jsonl", "text_fit.jsonl", "waveforms.jsonl", "exhibits.jsonl")


def purge_manifest(paths: Paths, withdrawal: Withdrawal) -> Manifest:
    """The manifest without the withdrawn clips, a new version; then every older version without them."""
    now = manifest_of(paths)
    before = before_of(paths)
    if now is None or before is None:  # pragma: no cover  a note is written of a manifest
        raise AssertionError(paths)
    withdrawn = before.clips["clip"].isin(list(withdrawal.clips))
    clips, gone = before.clips[~withdrawn], before.clips[withdrawn]
    if len(gone):
        parent = versions.current(paths)
        made = write_manifest(clips, now.folder, before.deliveries, now.digest)
        pieces = gone.merge(clips[_RECORDING].drop_duplicates(), on=_RECORDING)  # of recordings that stay
        made = replace(made, gaps=now.gaps + Gaps(withdrawn_s=_seconds(pieces)))
        counts = {"withdrawn": len(gone)}
        versions.record(paths, made, clips, counts, parent.settings)
        write_json(paths.intermediate / "manifest.json", made.to_json())
        now = made
    note_left(paths, withdrawal.clips)
    for version in versions.all_versions(paths):
        _purge_version(paths, version, withdrawal)
    _drop_parts(paths, now)
    return now


def purge_temporary(paths: Paths) -> None:
    """Delete half-written files: a kill may have left any of it in them."""
    for path in temporary(paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def purge_tables(paths: Paths, clips: Collection[str]) -> None:
    """Take the rows of `clips` out of every table of audit, plan and results; a mention in another row is emptied."""
    wanted = pa.array(sorted(clips), pa.string())
    below = (file for folder in (paths.primary, paths.models, paths.outputs) for file in folder.rglob("*.parquet"))
    for path in sorted([*paths.shards.glob("*.parquet"), *below]):
        _purge_table(path, wanted)


def purge_listing(paths: Paths, withdrawal: Withdrawal) -> None:
    """Take the lines, headers and quarantined rows of the withdrawn clips out of what ingest keeps."""
    files = {(str(Path(root) / path), member) for root, path, member in withdrawal.files}
    lines = paths.intermediate / "listing.parquet"
    if lines.exists():
        listing = pd.read_parquet(lines)
        spoke = set(withdrawal.lines)
        _keep(lines, listing, [line not in spoke for line in line_ids(listing)])
    headers = paths.intermediate / "headers.parquet"
    if headers.exists():
        table = pd.read_parquet(headers)
        members = table["member"].astype(object).where(table["member"].notna(), None)
        _keep(headers, table, [one not in files for one in zip(table["file"], members, strict=True)])
    quarantine = paths.intermediate / "quarantine.parquet"
    if quarantine.exists():
        table = pd.read_parquet(quarantine)
        lost = {path for _, path, _ in withdrawal.files}
        _keep(quarantine, table, ~(table["path"].isin(list(lost)) | table["clip"].isin(list(withdrawal.clips))))


def purge_journals(paths: Paths, withdrawal: Withdrawal) -> None:
    """Take out of every journal of ingest and audit what speaks of a withdrawn recording or of its audio."""
    files = {str(Path(root) / path) for root, path, _ in withdrawal.files}
    names = tuple({Path(file).name for file in files} | set(withdrawal.clips))
    pcm = set(withdrawal.pcm)

    def gone(key: str, entry: Mapping[str, Any]) -> bool:
        result = entry.get("result")
        if isinstance(result, dict) and result.get("pcm_sha256") in pcm:
            return True
        if any(key.rsplit("|", cut)[0].split("|", 2)[-1] in files for cut in (2, 3)):
            return True
        message = entry.get("message")
        return message is not None and any(name in message for name in names)

    for folder in (paths.intermediate, paths.primary):
        for journal in sorted(folder.glob("*.jsonl")):
            if journal.name in _OPAQUE:
                journal.unlink()
            else:
                forget_where(journal, gone)


def purge_documents(paths: Paths, withdrawal: Withdrawal) -> None:
    """Delete the corpus's pages and what lies beside them, and summaries that name a withdrawn clip or group; take the
    lines of withdrawn clips out of what people wrote (corrections, overrides).
    """
    shutil.rmtree(paths.reports, ignore_errors=True)
    named = [json.dumps(name, ensure_ascii=False)[1:-1] for name in (*withdrawal.clips, *withdrawal.groups)]
    for file in (*paths.primary.glob("*.json"), *paths.outputs.glob("*.json")):
        text = file.read_text()
        if any(name in text for name in named):
            file.unlink()
    aggregates = [paths.primary / f"{name}.parquet" for name in _AGGREGATES]  # groups may be people
    for file in (*aggregates, paths.primary / _SUMMARY, paths.intermediate / _ANSWERS):
        file.unlink(missing_ok=True)  # the next audit writes them again
    for file in paths.raw.glob("*.csv"):
        forget_lines(file, withdrawal.clips)


def forget_lines(file: Path, clips: Collection[str]) -> None:
    """Take the lines of `clips` out of a CSV file that has a column `clip`; other files stay as they are."""
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{file} is not UTF-8 ({error.reason}), so nobody can see whether it names a withdrawn clip: save it as "
            "UTF-8, then run the same command again"
        ) from error
    named = next((name for name in reader.fieldnames or () if name.strip().lower() == _OF_CLIPS), None)
    if named is None:
        return
    rows = list(reader)
    kept = [row for row in rows if (row[named] or "").strip() not in clips]
    if len(kept) < len(rows):
        out = io.StringIO()
        writer = csv.DictWriter(out, list(reader.fieldnames or ()), lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        write_text(file, out.getvalue())


def keep_verdicts(paths: Paths, manifest: Manifest) -> None:
    """Keep the verdicts, which are of this version's clips now, with it."""
    file = paths.primary / "verdicts.parquet"
    if file.exists():
        verdicts = pd.read_parquet(file)
        if set(verdicts["clip"]) == set(manifest.frame(["clip"])["clip"]):
            versions.keep_verdicts(paths, manifest.digest, verdicts)


def _seconds(clips: pd.DataFrame) -> float:
    return float((clips["end_s"] - clips["start_s"]).sum())


def _purge_version(paths: Paths, version: versions.Version, withdrawal: Withdrawal) -> None:
    folder = paths.intermediate / "manifest"
    there = [part for part in version.parts if (folder / part).exists()]
    rows = pd.concat([pd.read_parquet(folder / part) for part in there], ignore_index=True) if there else None
    if rows is None:
        return
    clips = rows[~rows["clip"].isin(list(withdrawal.clips))]
    if len(clips) == len(rows):
        return
    parts = write_manifest(clips, folder).parts
    withdrawn = version.withdrawn + len(rows) - len(clips)
    versions.write(paths, replace(version, parts=parts, withdrawn=withdrawn))


def _drop_parts(paths: Paths, now: Manifest) -> None:
    """Delete parts that no version has: what is left of them held withdrawn clips."""
    used = {*now.parts, *(part for version in versions.all_versions(paths) for part in version.parts)}
    for file in now.folder.glob("*"):
        if file.name not in used:
            file.unlink(missing_ok=True)


def _purge_table(path: Path, clips: pa.Array) -> None:
    schema = pq.read_schema(path)
    texts = [name for name in schema.names if pa.types.is_string(schema.field(name).type)
             or pa.types.is_large_string(schema.field(name).type)]  # fmt: skip
    found = pq.read_table(path, columns=texts) if texts else None
    if found is None or not any(pc.any(pc.is_in(found[name], clips)).as_py() for name in texts):
        return
    table = pq.read_table(path)
    if _OF_CLIPS in texts and path.name != "duplicates.parquet":
        table = table.filter(pc.invert(pc.is_in(table[_OF_CLIPS], clips)))
        for name in texts:
            hit = pc.is_in(table[name], clips)
            if pc.any(hit).as_py():
                emptied = pc.if_else(hit, pa.scalar(None, schema.field(name).type), table[name])
                table = table.set_column(table.schema.get_field_index(name), schema.field(name), emptied)
    else:
        for name in texts:
            table = table.filter(pc.invert(pc.fill_null(pc.is_in(table[name], clips), False)))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def _keep(path: Path, table: pd.DataFrame, keep: Any) -> None:
    kept = table[keep]
    if len(kept) < len(table):
        write_parquet(path, kept.reset_index(drop=True))


def unsent_pages(data: Path, corpus: str) -> list[Path]:
    """Copies of this corpus's pages that wait to be sent to MLflow."""
    found = []
    for ops in data.glob(".tracking/*/ops.jsonl"):
        with ops.open() as lines:
            first = json.loads(next(lines, "{}") or "{}")
        if first.get("tags", {}).get("corpus") == corpus:
            found += [file for file in ops.parent.glob("files/*/pages/*") if file.is_file()]
    return found
