"""Finding audio in a folder: by extension, in one order, hidden files aside; nothing is followed out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
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
    """Posix paths below `root` of all files that are not hidden, in the same order on every machine.

    Links to folders are not followed: what lies in `root` is found where it lies, and one that leads out of it is given
    as itself, with a / at its end.
    """
    stays = inside(root)
    for folder, folders, names in os.walk(root):
        below = PurePosixPath(os.path.relpath(folder, root).replace(os.sep, "/"))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if Path(folder, name).is_symlink() and not stays(f"{below / name}"):
                yield f"{below / name}/"
        prefix = "" if str(below) == "." else f"{below}/"
        yield from (prefix + name for name in sorted(names) if not name.startswith("."))


def walk_audio(root: Path) -> Iterator[str]:
    """Those of `walk` that end like audio."""
    return (path for path in walk(root) if is_audio(path.rpartition("/")[2]))


def audio_in(folder: str) -> list[str]:
    """The paths of the recordings in a folder itself; none where it cannot be looked into."""
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder) if is_audio(name)]  # noqa: PTH208
    except OSError:
        return []


def inside(root: Path) -> Callable[[str], bool]:
    """A function that says whether a path below `root` is still below it once all links are followed."""
    start = f"{root}/"  # strings, as a Path costs ten times more and there may be a million
    real = os.path.realpath(root)
    below = f"{real}{os.sep}".replace("//", "/")
    folders: dict[str, bool] = {}

    def within(path: str) -> bool:
        found = os.path.realpath(start + path)
        return found == real or found.startswith(below)

    def stays(path: str) -> bool:
        folder = path.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = within(folder)
        return folders[folder] and (not os.path.islink(start + path) or within(path))  # noqa: PTH114

    return stays


def subfolders(folder: Path) -> list[Path]:
    """Its folders that are not hidden, links aside, in one order."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    return [folder / name for name in sorted(names)]


def nearest_level(root: Path, wanted: Callable[[Path], bool], depth: int) -> list[Path]:
    """`root` where it is `wanted`; else those of its folders that are; else of theirs, down to `depth` levels."""
    level = [root]
    for _ in range(depth + 1):
        found = [folder for folder in level if wanted(folder)]
        if found:
            return found
        level = [below for folder in level for below in subfolders(folder)]
    return []


def split_in(name: str) -> str | None:
    """The split that a file's name speaks of (train-00000-of-00002.parquet); None for none, or two."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS}
    return found.pop() if len(found) == 1 else None


def relative(path: Path, root: Path) -> str:
    """`path` below `root`, or as it is, with /."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def is_file(path: Path) -> bool:
    """Whether a path from a table is a file that can be looked at: a name too long for any is none."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file raises for such a name


def is_text(path: str) -> bool:
    """Whether a path can be written down (POSIX names are bytes, and not all of them are text)."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path.isprintable() or not any(ord(c) < 32 or ord(c) == 127 for c in path)


def shown(text: str) -> str:
    """The text with a ? for each letter that cannot be written: a name that is not UTF-8, half of a character."""
    return text.encode(errors="replace").decode()


def unsafe(path: str, *, absolute: bool = False) -> str | None:
    """Why a path from a table must not be followed, or None. `absolute`: the layout may name files anywhere."""
    if not path or not is_text(path):
        return "the path is empty or holds control characters"
    if (path[0] == "/" and not absolute) or "\\" in path or (len(path) > 1 and path[1] == ":") or "://" in path:
        return f"'{path}' is not a path below the folder, with / between its parts"
    if ".." in path.split("/"):
        return f"'{path}' leads out of the folder"
    return None
