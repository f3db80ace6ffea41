"""Finding audio in a folder: by extension, in one order, hidden files aside; nothing is followed out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

# of the containers that ffmpeg may open here (`audio.ffmpeg.CONTAINERS`): its demuxers' and muxers' own, and usual ones
AUDIO_EXTENSIONS = frozenset(
    "3g2 3ga 3gp 8svx aa3 aac ac3 adts afc aif aifc aiff amr ape asf au avi awb bwf caf divx dsf dts"  # noqa: SIM905
    " eac3 ec3 f4a f4b f4p f4v flac flv gsm ircam isma ismv latm loas m2a m2p m2t m2ts m4a m4b m4r m4v"
    " mac mj2 mk3d mka mkv mov mp1 mp2 mp3 mp4 mpa mpc mpe mpeg mpg mpga mts mxf nist nut oga ogg ogm"
    " ogv ogx oma omg opus qcp qt ra rf64 rm rmvb sf shn snd sox sph spx svx swf tak trp ts tta vob"
    " voc vqe vqf vql w64 wav wave weba webm wm wma wmv wsd wtv wv xwm xwma".split()
)
_SCRIPTS = (".ts", ".mts")  # TypeScript has the endings of MPEG transport streams
_HEAD_BYTES = 1024
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "devel": "dev", "development": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip


def is_audio(name: str) -> bool:
    """Whether the name ends like a recording or a video."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in AUDIO_EXTENSIONS and "." in name


def is_recording(root: Path, path: str) -> bool:
    """Return whether a file below `root` is a recording by its name; one that ends like TypeScript must not be text."""
    return is_audio(path.rpartition("/")[2]) and not (path.lower().endswith(_SCRIPTS) and _is_script(root / path))


def _is_script(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            head = handle.read(_HEAD_BYTES)
    except OSError:  # not fetched yet, or not to be read: that is said where it is decoded
        return False
    return bool(head) and b"\0" not in head and not head.decode(errors="replace")[:-1].count("\ufffd")


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
    """Return the paths of `walk` that are recordings by their names."""
    return (path for path in walk(root) if is_recording(root, path))


def audio_in(folder: Path) -> list[str]:
    """The names of the recordings in a folder itself; none where it cannot be looked into."""
    try:
        return [name for name in os.listdir(folder) if is_audio(name)]  # noqa: PTH208
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
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
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


def unsafe(path: str, *, absolute: bool = False, folder: Path | None = None) -> str | None:
    """Why a path from a table must not be followed, or None. `absolute`: the layout may name files anywhere.

    A backslash or a : is part of a name where `folder` is given and holds a file that is called so.
    """
    if not path or not is_text(path):
        return "the path is empty or holds control characters"
    if ".." in path.split("/"):
        return f"'{path}' leads out of the folder"
    elsewhere = path[0] == "/" and not absolute
    odd = "\\" in path or (len(path) > 1 and path[1] == ":") or "://" in path
    if elsewhere or (odd and (folder is None or not os.path.lexists(f"{folder}/{path}"))):
        return f"'{path}' is not a path below the folder, with / between its parts"
    return None
