"""WebDataset: tars whose members of one name up to the first dot belong together: audio, `.txt`, `.json`, `.cls`.

A tar is walked by its headers; nothing is extracted, and what is no recording or text is not opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from allears.corpus.layouts import fleurs
from allears.corpus.layouts.columns import Columns, match_columns, row_from
from allears.corpus.layouts.files import is_audio, is_text, nearest_level, relative, shown, split_in
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.tables import Broken, flat, parsed
from allears.storage.containers import Member, is_tar, tar_members

NEEDS = "tar with recordings"
_USUAL = ("text", "language", "speaker")
_TEXTS = (".txt", ".json", ".cls")
_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)  # as webdataset's base_plus_ext
_LOOKED_AT = 300  # members of a shard
_SHARDS_LOOKED_AT = 4  # one of them may be broken


@dataclass(slots=True)
class _Sample:
    audio: dict[str, str] = field(default_factory=dict)  # extension → member
    texts: dict[str, bytes] = field(default_factory=dict)


def shards(root: Path) -> list[Path]:
    """The tars in `root`, else in its folders; none where they are FLEURS's."""
    if fleurs.seen(root):
        return []
    return [tar for folder in nearest_level(root, _has_shards, depth=1) for tar in _tars(folder)]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = shards(root)
    return f"there is {relative(found[0], root)} with recordings in it ({len(found)} tars)" if found else ""


def columns_of(root: Path, label: str | None) -> Columns:
    """What the keys of the first samples say of the label; raises CorpusError when `label` is none of them."""
    names: dict[str, None] = {}
    for shard in shards(root)[:_SHARDS_LOOKED_AT]:
        for _, sample in _samples(islice(tar_members(shard, _TEXTS), _LOOKED_AT), []):
            names |= dict.fromkeys(_known(sample)[0])
    return match_columns(names | dict.fromkeys(_USUAL), label, f"{root} (its tars)", guess=False)


def rows(root: Path, label: str | None) -> Rows:
    """One row a recording of a sample; members that cannot be used, and samples without one, are rejects."""
    columns = columns_of(root, label)
    for shard in shards(root):
        path = relative(shard, root)
        problems: list[Reject] = []
        split = split_in(shard.name.partition(".")[0]) or split_in(shard.parent.name)
        for key, sample in _samples(tar_members(shard, _TEXTS), problems, path):
            if not sample.audio:
                yield _reject(path, key, "no_audio_entry", "no recording has this name")
                continue
            record, broken = _known(sample)
            if broken is not None:
                yield _reject(path, key, "malformed_line", f"{key}.json: {broken.why}")
                continue
            row = row_from(record, columns)
            for ending, member in sample.audio.items():
                name = key if len(sample.audio) == 1 else f"{key}.{ending}"
                yield replace(row, name=name, path=path, member=member, split=row.split or split)
        yield from problems


def _samples(members: Iterator[Member], problems: list[Reject], path: str = "") -> Iterator[tuple[str, _Sample]]:
    """Key and sample, for the whole of a shard; what cannot be used goes to `problems`."""
    samples: dict[str, _Sample] = {}
    taken: set[str] = set()
    for member in members:
        match = _KEY.match(member.name)
        key, ending = (match[1], match[2].lower()) if match else ("", "")
        of_use = is_audio(member.name.rpartition("/")[2]) or member.name.lower().endswith(_TEXTS)
        if member.problem is not None and (of_use or not member.name):
            problems.append(_reject(path, member.name or path, *member.problem))
        elif not match or not of_use:
            continue
        elif not is_text(member.name):
            problems.append(_reject(path, repr(member.name), "bad_name", "its name is not readable text; rename it"))
        elif member.name in taken:
            problems.append(_reject(path, member.name, "duplicate_id", "a member of this name was before it"))
        else:
            taken.add(member.name)
            sample = samples.setdefault(key, _Sample())
            if member.content is None:
                sample.audio[ending] = member.name
            else:
                sample.texts[ending] = member.content
    yield from samples.items()


def _known(sample: _Sample) -> tuple[dict[str, Any], Broken | None]:
    """What the texts of a sample say; `broken`: why its JSON cannot be read."""
    said = {ending: content.decode(errors="replace").strip() for ending, content in sample.texts.items()}
    value = parsed(said["json"]) if "json" in said else {}
    if isinstance(value, Broken):
        return {}, value
    record = flat(value)
    record |= {name: said[ending] for ending, name in (("txt", "text"), ("cls", "label")) if ending in said}
    other = {ending: text for ending, text in said.items() if ending not in ("json", "txt", "cls")}
    return record | other, None


def _has_shards(folder: Path) -> bool:
    first = _tars(folder)[:_SHARDS_LOOKED_AT]
    return any(is_audio(member.name) for tar in first for member in islice(tar_members(tar), _LOOKED_AT))


def _tars(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if is_tar(file.name) and file.is_file() and file.name[0] != ".")


def _reject(path: str, name: str, reason: str, why: str) -> Reject:
    return Reject(name=shown(name), path=path, reason=reason, message=f"{path}, '{shown(name)}': {why}")
