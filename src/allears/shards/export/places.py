"""Where exports lie: those in the corpus's own folder go with a withdrawal, those elsewhere are noted to be named."""

from __future__ import annotations

import shutil
from pathlib import Path

from allears.shards.export.source import Format
from allears.storage.files import read_json, write_json
from allears.storage.portable import portable

MARKER = "export.json"
NOTE = "exports.json"
OWN = "exports"


def note_outside(shards: Path, folder: Path, to: Format) -> None:
    """Note an export outside of the corpus's folders, to be named by a withdrawal. `shards`: that of the corpus."""
    write_json(shards / NOTE, outside(shards) | {str(portable(folder)): to})


def outside(shards: Path) -> dict[str, str]:
    """Folders of exports outside of the corpus's folders that are still there → their format."""
    noted: dict[str, str] = read_json(shards / NOTE) if (shards / NOTE).exists() else {}
    return {folder: to for folder, to in noted.items() if (Path(folder) / MARKER).exists()}


def forget_exports(shards: Path) -> None:
    """Delete the exports in the corpus's own folder."""
    if (shards / OWN).exists():
        shutil.rmtree(shards / OWN)
