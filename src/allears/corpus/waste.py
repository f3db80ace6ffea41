"""What lies in a corpus's folders and is used by nothing: old versions, their parts and verdicts, temporary files."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from allears.corpus import versions
from allears.corpus.deliveries import manifest_of
from allears.params.base import Paths


@dataclass(frozen=True, slots=True)
class Waste:
    """A file or folder that may go, why, and its bytes."""

    path: Path
    why: str
    size_bytes: int


def unused(paths: Paths, shards: Collection[str]) -> list[Waste]:
    """What may go. `shards`: digests of the shards that there are, or that a run was given; the versions that they were
    made of stay, as does the current one.
    """
    now = manifest_of(paths)
    if now is None:
        return []
    every = versions.all_versions(paths)
    stay = [one for one in every if one.digest == now.digest or set(one.shards) & set(shards)]
    names = {one.short for one in stay} | {now.digest[:12]}
    parts = {*now.parts, *(part for one in stay for part in one.parts)}
    records = _records(paths).glob("*.json")
    verdicts = (paths.primary / "versions").glob("*.parquet")
    return [
        *waste_of((file for file in records if file.stem not in names), "a version that nothing uses"),
        *waste_of((file for file in verdicts if file.stem not in names), "verdicts of a version that nothing uses"),
        *waste_of((file for file in now.folder.glob("*.parquet") if file.name not in parts), "rows of such a version"),
        *waste_of(temporary(paths), "left by a killed command"),
    ]


def remove(paths: Paths, found: Iterable[Waste]) -> None:
    """Delete it. A version is noted first: a withdrawal tells what had used it."""
    waste = list(found)
    records = [one.path for one in waste if one.path.parent == _records(paths) and one.path.suffix == ".json"]
    if records:
        versions.note_removed(paths, [versions.read(paths, file.stem) for file in records])
    for one in waste:
        if one.path.is_dir():
            shutil.rmtree(one.path)
        else:
            one.path.unlink(missing_ok=True)


def temporary(paths: Paths) -> list[Path]:
    """Half-written files of killed commands. Those of pretrainings are left alone: one may run on another machine."""
    layers = (
        paths.intermediate, paths.primary, paths.features, paths.shards, paths.models, paths.outputs, paths.reports,
    )  # fmt: skip
    found = [*paths.raw.glob(".*.tmp"), *(file for layer in layers for file in layer.rglob(".*.tmp"))]
    return sorted(file for file in found if paths.models / "runs" not in file.parents)


def _records(paths: Paths) -> Path:
    return paths.intermediate / "versions"


def waste_of(files: Iterable[Path], why: str) -> list[Waste]:
    """Files and folders that may go for one reason, with their sizes."""
    return [Waste(file, why, _size(file)) for file in sorted(files)]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
