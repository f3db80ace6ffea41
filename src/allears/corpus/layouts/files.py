"""Finding audio in a folder: by extension, in one order, hidden files aside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

AUDIO_EXTENSIONS = frozenset(
    "3g2 3gp aac ac3 aif aifc aiff amr ape asf au avi caf dsf eac3 flac flv gsm m4a m4b m4v mka mkv mov mp2 mp3 mp4"  # noqa: SIM905
    " mpeg mpg nist oga ogg ogv opus ra rf64 rm sph snd spx tta voc w64 wav wave webm wma wmv wv".split()
)
SPLIT_FOLDERS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}


def is_audio(name: str) -> bool:
    """Whether the name ends like a recording or a video."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in AUDIO_EXTENSIONS and "." in name


def walk(root: Path) -> Iterator[str]:
    """Posix paths below `root` of all files that are not hidden, in the same order on every machine."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = PurePosixPath(os.path.relpath(folder, root).replace(os.sep, "/"))
        for name in sorted(names):
            if not name.startswith("."):
                yield (below / name).as_posix()


def walk_audio(root: Path) -> Iterator[str]:
    """Those of `walk` that end like audio."""
    return (path for path in walk(root) if is_audio(path.rpartition("/")[2]))


def is_text(path: str) -> bool:
    """Whether a path can be written down (POSIX names are bytes, and not all of them are text)."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(c) < 32 for c in path)


def unsafe(path: str) -> str | None:
    """Why a relative path from a table must not be followed, or None."""
    pure = PurePosixPath(path)
    if not path or not is_text(path):
        return "the path is empty or holds control characters"
    if pure.is_absolute() or "\\" in path or (len(path) > 1 and path[1] == ":"):
        return f"'{path}' is not a path below the folder, with / between its parts"
    if ".." in pure.parts:
        return f"'{path}' leads out of the folder"
    return None
