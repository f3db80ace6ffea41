"""Is a corpus what it was when it was last ingested? Asked of names, sizes and times, before anything of it is read.

What `ingest` makes follows from the files below its sources, from its settings and from what was withdrawn or
corrected; the receipt in `data/02_intermediate/<corpus>` names all of it, and the bytes of each output. Where that
cannot be said (a source is no local folder, a link or a path leads out of it, a file failed in a way that may pass)
there is none, and the corpus is looked through as if it were new: what its journals know is still not read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from allears.corpus.corrections import corrections_file
from allears.corpus.deliveries import manifest_of
from allears.corpus.listing import ELSEWHERE
from allears.corpus.withdrawn import tombstones_file
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings
from allears.params.ingest import IngestParams
from allears.storage.digest import file_digest, identity
from allears.storage.receipt import read_receipt, write_receipt

VERSION = 6  # of ingest's steps together: raised when one of them makes something else of the same files
OUTPUTS = (
    "sources.json", "listing.parquet", "headers.parquet", "quarantine.parquet", "manifest.json", "carved.parquet",
)  # fmt: skip
_ELSEWHERE = {
    "path",
    "layout",
    "licence",
    "label",
    "columns",
    "workers",
}  # remembered with the corpus, or without effect


@dataclass(frozen=True, slots=True)
class State:
    """What is to be ingested, by its identity (None: it cannot be named), and whether it was, to the end."""

    identity: str | None = None
    known: bool = False


NEW = State()


def state_of(settings: CorpusSettings, paths: Paths, params: IngestParams) -> State:
    """Look at the sources as they lie there now."""
    from allears.audio.decode import DECODERS
    from allears.corpus import probe

    trees = {source.name: tree_digest(Path(source.path)) for source in settings.sources}
    inputs = {f"tree of {name}": tree for name, tree in trees.items() if tree is not None}
    if len(inputs) < len(settings.sources):
        return NEW
    for file in (tombstones_file(paths), corrections_file(paths)):
        if file.exists():
            inputs[file.name] = file_digest(file)
    asked = {
        "settings": settings.model_dump(mode="json"),
        "ingest": params.model_dump(mode="json", exclude=_ELSEWHERE),
        "code": [version("allears"), probe.VERSION, DECODERS],
        "speech": _hearing() if params.segment == "vad" else None,
    }
    found = identity("ingest", VERSION, inputs, asked)
    notes = read_receipt(paths.intermediate, found)
    return State(found, notes is not None and notes == _outputs(paths) and _parts_are_there(paths))


def note(state: State, paths: Paths, listing: pd.DataFrame, quarantine: pd.DataFrame) -> bool:
    """Write the receipt, once all outputs are saved; False where a look at the folders would not tell a change."""
    from allears.engine.mapping import PASSING

    lead_out = listing["path"].str.startswith(ELSEWHERE).any()
    if state.identity is None or lead_out or quarantine["reason"].isin(list(PASSING)).any():
        return False
    write_receipt(paths.intermediate, state.identity, _outputs(paths))
    return True


def tree_digest(root: Path) -> str | None:
    """Names the files below `root`: path, size and time of each. None where a link to a folder leads out, or a folder
    cannot be looked into.
    """
    digest = hashlib.sha256()
    try:
        for line in _lines(os.path.realpath(root, strict=True)):
            digest.update(line.encode(errors="surrogateescape"))
    except (OSError, _LeadsOutError):
        return None
    return digest.hexdigest()


class _LeadsOutError(Exception):
    pass


def _lines(root: str) -> Iterator[str]:
    """What lies below a folder, a line each with all that tells one state of it from another."""
    folders = [""]
    while folders:
        below = folders.pop()
        with os.scandir(f"{root}/{below}") as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_symlink():
                yield f"{path}\0{_link(root, entry)}\0"
            elif entry.is_dir():
                folders.append(f"{path}/")
                yield f"{path}/\0"
            else:
                yield f"{path}\0{_state(entry.stat())}\0"


def _link(root: str, entry: os.DirEntry[str]) -> str:
    """Where a link leads, and the file there: a table may be one."""
    leads = os.readlink(entry.path)  # noqa: PTH115  as it is written, not as a Path tidies it
    try:
        stat = entry.stat()
    except OSError:
        return leads  # to nothing
    if entry.is_dir() and not f"{os.path.realpath(entry.path)}/".startswith(f"{root}/"):
        raise _LeadsOutError
    return f"{leads}\0{_state(stat)}"


def _state(stat: os.stat_result) -> str:
    """Times of contents can be set (`cp -p`, `rsync -t`, tar), those of the change itself cannot."""
    return f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"


def _hearing() -> list[Any]:
    from allears.audio.speech import DETECTOR
    from allears.corpus import speech

    return [speech.VERSION, DETECTOR]


def _outputs(paths: Paths) -> dict[str, str]:
    """The digest of each output that is there."""
    files = [paths.intermediate / name for name in OUTPUTS]
    return {file.name: file_digest(file) for file in files if file.exists()}


def _parts_are_there(paths: Paths) -> bool:
    manifest = manifest_of(paths)
    return manifest is not None and all((manifest.folder / part).exists() for part in manifest.parts)
