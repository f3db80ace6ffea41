"""Clips that go from tars into another one as they are: which tars hold them, and their entries. Nothing is decoded."""

from __future__ import annotations

import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from allears.corpus.clips import ClipRef
from allears.engine.threads import in_threads
from allears.errors import StorageError
from allears.shards.index import read_notes, read_part
from allears.shards.jobs import TarJob, names_of, note_part, part_of, tar_key
from allears.shards.tar import Entry, read_entries, snapshot_bytes, write_entries


def with_sources(todo: Sequence[TarJob], kept: Collection[str], folder: Path, refs: Iterable[ClipRef]) -> list[TarJob]:
    """`todo` with the tars that hold their clips, where all are there and this job alone has to do with these tars.

    `kept` are tars that stay as they are; `refs` all clips as the manifest has them now. A tar counts only when its
    part says that it was made of just that.
    """
    tars = [tar for tar in sorted(folder.glob("*.tar")) if tar.name not in kept]
    if not (tars and todo):  # the rule: nothing of the corpus is looked at
        return list(todo)
    where = _where(tars, {ref.clip: ref for ref in refs}, todo[0].sample_rate_hz)
    sources = {job.path.name: {where.get(clip.clip, "") for clip in job.clips} for job in todo}
    asked = Counter(source for found in sources.values() for source in found)
    targets = names_of(todo)
    return [
        replace(job, sources=tuple(sorted(found)))
        if all(one and asked[one] == 1 and (one == job.path.name or one not in targets) for one in found)
        else job
        for job, found in ((job, sources[job.path.name]) for job in todo)
    ]


def move_all(todo: Sequence[TarJob]) -> list[TarJob]:
    """Write the tars of the jobs that have sources; what is left to be decoded: those without, or with damaged ones."""
    done = in_threads(_move, [job for job in todo if job.sources], title="Moving clips")
    moved = {name for name in done if name}
    return [job for job in todo if job.path.name not in moved]


def _move(job: TarJob) -> str:
    """The name of the tar, or none when a source is not as its index part says."""
    try:
        note_part(job, write_entries(job.path, _entries(job)))
    except (StorageError, tarfile.TarError, EOFError):
        return ""
    return job.path.name


def _entries(job: TarJob) -> Iterator[Entry]:
    """The clips of a job from its `sources`, with the snapshots that they have now.

    Raises StorageError when one is not there, or not as its index part says.
    """
    rows = {
        row["clip"]: (name, row) for name in job.sources for row in read_part(part_of(job.path.parent / name)) or ()
    }
    if lost := [clip.clip for clip in job.clips if clip.clip not in rows]:
        raise StorageError(f"{job.path}: clip {lost[0]} is in none of {', '.join(job.sources)} any more")
    found = [rows[clip.clip] for clip in job.clips]
    snapshots = iter(job.snapshots)
    for name, neighbours in itertools.groupby(found, key=lambda pair: pair[0]):
        for entry in read_entries(job.path.parent / name, [row for _, row in neighbours]):
            yield entry._replace(snapshot=snapshot_bytes(json.loads(next(snapshots))))


def _where(tars: Iterable[Path], refs: Mapping[str, ClipRef], rate_hz: int) -> dict[str, str]:
    """Clip → the tar that holds it."""
    found: dict[str, str] = {}
    for tar in tars:
        rows = read_part(part_of(tar))
        if rows and all(row["clip"] in refs for row in rows):
            made_of = tar_key(tar.name, rate_hz, [refs[row["clip"]] for row in rows])
            if read_notes(part_of(tar)).get("key") == made_of:
                found |= {row["clip"]: tar.name for row in rows}
    return found
