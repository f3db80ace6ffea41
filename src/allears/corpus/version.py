"""Which version of a corpus lies in its folders: the manifest's digest."""

from __future__ import annotations

from allears.params.base import Paths
from allears.storage.files import read_json

SHOWN = 12  # hexadecimal digits


def version_of(paths: Paths) -> str | None:
    """The first digits of the manifest's digest, or None when nothing was ingested yet."""
    file = paths.intermediate / "manifest.json"
    if not file.exists():
        return None
    return str(read_json(file)["digest"])[:SHOWN]
