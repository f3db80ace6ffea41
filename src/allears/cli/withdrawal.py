"""Carry out a withdrawal: what it takes out of all rooms, in an order that a kill at any moment leaves to be finished.

1. Tombstones: from now on neither ingest nor audit lets it in. 2. The note of all that must go. 3. Manifest and older
versions, tables, journals, listing; 4. tars, index, copies in buckets, labels; 5. pages; 6. what MLflow is told. 7.
The note goes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from allears.audit.digests import pcm_digests
from allears.checkpoints.trained import trained_on
from allears.corpus import mirror, purge, withdrawal, withdrawn
from allears.corpus.deliveries import manifest_of
from allears.corpus.left import read_left
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.corpus.settings import known_corpora
from allears.corpus.versions import all_versions, removed_digests, verdicts_file
from allears.corpus.withdrawal import Kind, Withdrawal
from allears.corpus.withdrawn import Tombstone
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.corpus import SAMPLE
from allears.shards.copies import renew
from allears.shards.export.places import forget_exports, outside
from allears.shards.handle import made_from, stored_shards
from allears.shards.remote import forget_cache
from allears.shards.removal import held, remove_clips
from allears.shards.sidecar import forget_labels
from allears.storage.files import read_json, write_json, write_text
from allears.tracking import Outbox, TrackedRun
from allears.tracking.marking import emptied
from allears.tracking.outbox import boxes, read_ops
from allears.tracking.run import ENCODER_MODEL


def prepare(paths: Paths, kind: Kind, name: str, source: str | None, why: str) -> Withdrawal:
    """Find all that `name` means; nothing is changed. CorpusError when it means nothing or too much."""
    rows = withdrawal.rows_ever(paths)
    listing, headers = (_table(paths, name) for name in ("listing", "headers"))
    if listing is not None and headers is not None:
        rows = pd.concat([rows, withdrawal.rows_unused(listing, headers, rows)], ignore_index=True)
    decoded = _decoded(paths)
    before = withdrawn.tombstones_file(paths).exists()
    if kind == "clip" and name not in set(rows["clip"]) and name in read_left(paths):
        why = "is withdrawn already, or left with a version that is removed"
        raise CorpusError(f"clip '{name}' of corpus '{paths.corpus}' {why}")
    chosen = withdrawal.choose(rows, kind, name, source, paths.corpus, before=before)
    fresh, failed = _decoded_now(paths, chosen, decoded)
    decoded |= fresh
    gone = withdrawal.with_the_same_audio(rows, chosen, decoded)
    found = withdrawal.plan(paths, rows, gone, chosen, decoded, listing, why=why, uid=uuid.uuid4().hex)
    found = _with_shards(paths, found)
    return replace(found, hints=(*_undecoded(failed), *_hints(paths, found)))


def begin(paths: Paths, found: Withdrawal) -> None:
    """Refuse it from now on, and write down what must go."""
    withdrawn.add_tombstones(paths, [Tombstone(**one) for one in found.tombstones])
    withdrawal.write_note(paths, found)


def finish(paths: Paths) -> Withdrawal | None:
    """Do what the note of a withdrawal says, whatever of it is done already; None without a note."""
    found = withdrawal.read_note(paths)
    if found is None:
        return None
    purge.purge_temporary(paths)
    manifest = purge.purge_manifest(paths, found)
    purge.purge_tables(paths, found.clips)
    purge.purge_listing(paths, found)
    purge.purge_journals(paths, found)
    mirror.forget(paths, (Path(root) / path for root, path, _ in found.files))
    purge.keep_verdicts(paths, manifest)
    _remove_from_shards(paths, found, manifest)
    forget_cache(paths.shards)
    renew(paths.shards, stored_shards(paths.shards))
    for folder in sorted(paths.features.glob("*/*/")):
        forget_labels(folder, set(found.clips))
    purge.purge_documents(paths, found)
    for page in purge.unsent_pages(paths.data, paths.corpus):
        write_text(page, emptied(page.name))
    _announce(paths, found)
    withdrawal.note_file(paths).unlink()
    return found


def _with_shards(paths: Paths, found: Withdrawal) -> Withdrawal:
    """Which tars hold it, what its audio is called there, and what had trained on it."""
    clips, manifest, handle = set(found.clips), manifest_of(paths), paths.shards / "shards.json"
    shards = {digest: count for one in all_versions(paths) if (count := found.versions.get(one.digest))
              for digest in one.shards}  # fmt: skip
    pcm: set[str] = set()
    if manifest is not None:
        refs = {ref.clip: ref for ref in clip_refs(manifest.frame(REF_COLUMNS))}
        keys, pcm = held(paths.shards / "shards", clips, refs)  # a killed run leaves tars without a handle
        found = replace(found, tar_keys=keys)
    if manifest is not None and handle.exists():
        state = read_json(handle)
        shards |= {str(state["digest"]): len(pcm)} if pcm else {}
        fresh = state.get("made_from") == made_from(manifest.digest, _hard(paths))
        found = replace(found, shards_were_fresh=fresh)
    heard = trained_on(paths.data, paths.corpus, pcm=pcm, groups=found.groups, shards=shards)
    return replace(found, shards=shards, heard=tuple(asdict(one) for one in heard))


def _hints(paths: Paths, found: Withdrawal) -> Iterator[str]:
    """Where else it may be: recordings that sound the same, and the same files in other corpora."""
    clips, files = set(found.clips), {str(one["file_sha256"]) for one in found.tombstones} - {""}
    duplicates = _table(paths, "duplicates")
    if duplicates is not None:
        pairs = zip(duplicates["clip"], duplicates["duplicate_of"], strict=True)
        alike = sorted({one for pair in pairs if clips & set(pair) for one in pair} - clips)
        if alike:
            yield f"{', '.join(alike)}: the audit takes them for the same recording in another encoding, and they stay"
    for folder, to in outside(paths.shards).items():
        yield f"the export for {to} in {folder}: it may hold the same audio. Delete it, and export again"
    for corpus in [SAMPLE, *known_corpora(paths.data)]:
        manifest = manifest_of(Paths(corpus=corpus, data=paths.data))
        if manifest is not None and corpus != paths.corpus:
            rows = manifest.frame(["clip", "file_sha256"])
            if count := int(rows["file_sha256"].isin(list(files)).sum()):
                yield f"corpus '{corpus}' has {count} clips of the same files: withdraw them there, too"


def _remove_from_shards(paths: Paths, found: Withdrawal, manifest: Manifest) -> None:
    handle = paths.shards / "shards.json"
    forget_exports(paths.shards)  # they may hold what has left the tars before
    if not found.tar_keys:
        return
    made = remove_clips(paths.shards / "shards", set(found.clips), found.tar_keys)
    if made is None or not handle.exists():
        handle.unlink(missing_ok=True)
        return
    state = read_json(handle)
    source = made_from(manifest.digest, _hard(paths)) if found.shards_were_fresh else state.get("made_from")
    folder = {"folder": state["folder"]}
    write_json(handle, state | made.to_json() | folder | {"made_from": source})


def _announce(paths: Paths, found: Withdrawal) -> None:
    """Leave in the outbox what MLflow is told; once, however often this is done again."""
    root = paths.data / ".tracking"
    if any(op["op"] == "withdrawn" and op["run"] == found.uid for box in boxes(root) for op, _ in read_ops(box)):
        return
    total = {one.digest: one.withdrawn for one in all_versions(paths)}
    datasets = {digest: max(count, total.get(digest, 0)) for digest, count in found.versions.items()}
    models = [
        {"name": f"{ENCODER_MODEL}-{one['corpus']}", "digest": one["digest"], "clips": one["clips"]}
        for one in found.heard
        if one["kind"] == "encoder"
    ]
    box = Outbox(root, found.uid)
    tags = {"corpus": paths.corpus, "allears.withdrawn": str(len(found.clips))}
    run = TrackedRun(box, found.uid, f"{paths.corpus} withdraw", tags)
    run.withdrawn(datasets | found.shards, models, removed_digests(paths))
    run.end("FINISHED")
    box.close()


def _hard(paths: Paths) -> set[str]:
    verdicts = _table(paths, "verdicts")
    return set() if verdicts is None else set(verdicts.loc[verdicts["verdict"] == "hard", "clip"])


def _decoded(paths: Paths) -> dict[str, str]:
    """Clip → digest of its decoded audio, of those that the audit has decoded."""
    measures = _table(paths, "measures")
    if measures is None:
        return {}
    known = measures[measures["pcm_sha256"].notna()]
    return dict(zip(known["clip"], known["pcm_sha256"], strict=True))


def _decoded_now(
    paths: Paths, chosen: pd.DataFrame, decoded: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Clip → digest of those that the audit has not decoded, or not as they are now, and clip → why there is none."""
    now = manifest_of(paths)
    audited = now is not None and verdicts_file(paths, now.digest).exists()
    known = set(decoded) if audited else set()
    journal = paths.intermediate / ".withdraw.jsonl.tmp"
    try:
        return pcm_digests(clip_refs(chosen[~chosen["clip"].isin(list(known))]), journal)
    finally:
        journal.unlink(missing_ok=True)


def _undecoded(failed: Mapping[str, str]) -> Iterator[str]:
    """Clips that a tombstone knows by their files' bytes alone."""
    if failed:
        clips = sorted(failed)
        named = f"{', '.join(clips[:5])}{' …' if len(clips) > 5 else ''}"
        yield (
            f"{named}: {len(clips)} of the clips cannot be decoded now ({failed[clips[0]]}). When they are delivered "
            "again, the same bytes are refused, the same audio in another format is not"
        )


def _table(paths: Paths, name: str) -> Any:
    folder = paths.intermediate if name in ("listing", "headers") else paths.primary
    file = folder / f"{name}.parquet"
    return pd.read_parquet(file) if file.exists() else None
