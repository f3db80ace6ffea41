"""Take clips out of the shards: the tars that hold them are written again without them, from the bytes that are there.

Nothing is decoded, so the recordings need not be there any more; the other clips keep their bytes, all other tars are
not touched. What comes out is what the writer would make of a manifest without these clips.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path

from allears.corpus.clips import ClipRef
from allears.errors import StorageError
from allears.shards.handle import INDEX, ShardSet
from allears.shards.index import join_parts, read_notes, read_part, write_part
from allears.shards.jobs import PARTS, part_of, tar_key
from allears.shards.tar import read_entries, write_entries
from allears.shards.writer import shards_identity
from allears.storage.receipt import NAME as RECEIPT
from allears.storage.receipt import write_receipt


def held(folder: Path, gone: Collection[str], refs: Mapping[str, ClipRef]) -> tuple[dict[str, str], set[str]]:
    """Tars that hold any of `gone` → their key without them, as the writer would name it; and the digests of the
    samples of these clips.

    `refs` are all clips as the manifest has them. The key is empty where the tar was made of something else, or where
    nothing says what is in it: such a tar is made anew by the writer.
    """
    keys, pcm = {}, set()
    for tar in sorted(folder.glob("*.tar")):
        part = part_of(tar)
        rows = read_part(part)
        if rows is None:
            keys[tar.name] = ""
        elif any(row["clip"] in gone for row in rows):
            pcm |= {row["pcm_sha256"] for row in rows if row["clip"] in gone}
            rate_hz = int(rows[0]["sample_rate_hz"])
            clips = [refs[row["clip"]] for row in rows if row["clip"] in refs]
            as_made = len(clips) == len(rows) and tar_key(tar.name, rate_hz, clips) == read_notes(part).get("key")
            left = [clip for clip in clips if clip.clip not in gone]
            keys[tar.name] = tar_key(tar.name, rate_hz, left) if as_made else ""
    return keys, pcm


def remove_clips(folder: Path, gone: Collection[str], keys: Mapping[str, str]) -> ShardSet | None:
    """The shards without `gone`; None when nothing is left. A killed removal is finished by the same call.

    `keys` are those of `held`. A tar that cannot be read, or that no index part describes, is deleted: the
    writer makes it again.
    """
    for path in (folder / RECEIPT, folder / INDEX, *folder.glob(".*.tmp"), *(folder / PARTS).glob(".*.tmp")):
        path.unlink(missing_ok=True)
    for tar in sorted(folder.glob("*.tar")):
        _rewrite(tar, part_of(tar), gone, keys)
    parts = sorted((folder / PARTS).glob("*.parquet"))
    if not parts:
        return None
    shard_set = join_parts(folder, parts)
    names = {f"{part.stem}.tar": read_notes(part).get("key", "") for part in parts}
    write_receipt(folder, shards_identity(names), shard_set.to_json())
    return shard_set


def _rewrite(tar: Path, part: Path, gone: Collection[str], keys: Mapping[str, str]) -> None:
    rows = read_part(part)
    if rows is not None and not any(row["clip"] in gone for row in rows):
        return
    left = [row for row in rows or () if row["clip"] not in gone]
    try:
        entries = list(read_entries(tar, left))
    except (StorageError, OSError, tarfile.TarError):
        entries = []
    if not entries:
        tar.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        return
    written = write_entries(tar, entries)
    write_part(part, written, {"key": keys.get(tar.name, ""), "bytes": str(tar.stat().st_size)})
