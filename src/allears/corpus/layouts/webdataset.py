"""WebDataset: tars whose members of one name up to the first dot belong together: audio, `.txt`, `.json`, `.cls`.

Names that hold dots themselves (`Track 0.0 (Clean).flac`) would be torn apart by that rule. So a text whose name up to
the *last* dot is that of a recording belongs to this recording alone.

A tar is walked by its headers; nothing is extracted, and what is no recording or text is not opened.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from allears.corpus.layouts import fleurs
from allears.corpus.layouts.columns import Asked, Columns, match_columns, row_from
from allears.corpus.layouts.files import is_audio, is_text, nearest_level, relative, shown, split_in
from allears.corpus.layouts.reader import About
from allears.corpus.layouts.row import Reject, Rows
from allears.corpus.layouts.tables import MISSING, Broken, parsed
from allears.storage.containers import Member, is_tar, tar_members

ABOUT = About(needs="tar with recordings", free_columns=True)
_USUAL = ("text", "language", "speaker")
_KINDS = {"json": "", "txt": "text", "cls": "label"}  # ending → the column that its content is
_TEXTS = tuple(f".{kind}" for kind in _KINDS)
_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)  # as webdataset's base_plus_ext
_LOOKED_AT = 300  # members of a shard
_SHARDS_LOOKED_AT = 4  # one of them may be broken
_SHOWN = 5  # endings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sample:
    """Members of one key, by what follows its first dot."""

    audio: dict[str, str] = field(default_factory=dict)  # ending → member
    texts: dict[str, bytes] = field(default_factory=dict)  # ending → content

    def own(self, ending: str) -> dict[str, bytes]:
        """Kind → content of the texts that are about the recording of this ending: all recordings', then its own."""
        stem = _stem(ending)
        found = {kind: self.texts[kind] for kind in _KINDS if kind in self.texts}
        return found | {kind: self.texts[f"{stem}.{kind}"] for kind in _KINDS if f"{stem}.{kind}" in self.texts}

    def unpaired(self) -> dict[str, bytes]:
        """Ending → content of the texts that are about no single recording by their names."""
        stems = {"", *map(_stem, self.audio)}
        return {ending: content for ending, content in self.texts.items() if _stem(ending) not in stems}


@dataclass(slots=True)
class _Found:
    """Members of a source that become no row: those that cannot be used, and those that are not read."""

    problems: list[Reject] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)  # endings of members that are neither recording nor text
    unpaired: list[str] = field(default_factory=list)  # names of recordings, with the text that is not used

    def sentence(self) -> str:
        """Return what is lost, or an empty string."""
        said = []
        if self.unpaired:
            said.append(
                f"{len(self.unpaired)} recordings have a text whose name pairs with no recording ({self.unpaired[0]}): "
                "it is kept as an attribute alone; name it like the recording up to the last dot"
            )
        if self.unread:
            kinds = ", ".join(f"{count} × .{ending}" for ending, count in self.unread.most_common(_SHOWN))
            said.append(f"members of other kinds are not read ({kinds})")
        return "; ".join(said)


def shards(root: Path) -> list[Path]:
    """The tars in `root`, else in its folders; none where they are FLEURS's."""
    if fleurs.seen(root):
        return []
    return [tar for folder in nearest_level(root, _has_shards, depth=1) for tar in _tars(folder)]


def seen(root: Path) -> str:
    """What speaks for this layout; empty where nothing does."""
    found = shards(root)
    if not found:
        return ""
    beside, by_stem = _Found(), ""
    for key, sample in _head(found, beside):
        _note_unpaired(key, sample, beside)
        stems = (_stem(ending) for ending in sample.audio)
        by_stem = by_stem or next((f"{key}.{stem}" for stem in stems if stem and _has_own(sample, stem)), "")
    said = [f"there is {relative(found[0], root)} with recordings in it ({len(found)} tars)"]
    said += [f"texts belong to recordings of the same name up to the last dot ({by_stem})"] if by_stem else []
    said += [f"of the first samples, {lost}"] if (lost := beside.sentence()) else []
    return shown("; ".join(said))


def columns_of(root: Path, asked: Asked) -> Columns:
    """Return the keys of the first samples as columns. Raises CorpusError when the label asked for is none of them."""
    names: dict[str, None] = {}
    for _, sample in _head(shards(root), _Found()):
        for ending in sample.audio or ("",):
            names |= dict.fromkeys(_known(sample, ending)[0])
    return match_columns(names | dict.fromkeys(_USUAL), asked, f"{root} (its tars)", guess=False)


def rows(root: Path, asked: Asked) -> Rows:
    """One row a recording of a sample; members that cannot be used, and samples without one, are rejects."""
    columns = columns_of(root, asked)
    beside = _Found()
    for shard in shards(root):
        path = relative(shard, root)
        split = split_in(shard.name.partition(".")[0]) or split_in(shard.parent.name)
        for key, sample in _samples(tar_members(shard, _TEXTS), beside, path):
            if not sample.audio:
                yield _reject(path, key, "no_audio_entry", "no recording has this name")
                continue
            _note_unpaired(key, sample, beside)
            for ending, member in sample.audio.items():
                record, broken = _known(sample, ending)
                if broken is not None:
                    yield _reject(path, key, "malformed_line", f"{key}.json: {broken.why}")
                    continue
                row = row_from(record, columns)
                yield replace(row, name=_name(key, ending, sample), path=path, member=member, split=row.split or split)
        yield from beside.problems
        beside.problems.clear()
    if lost := beside.sentence():
        logger.warning("%s: %s", root, shown(lost))


def _head(found: list[Path], beside: _Found) -> Iterator[tuple[str, _Sample]]:
    """Key and sample of the first members of the first shards."""
    for shard in found[:_SHARDS_LOOKED_AT]:
        yield from _samples(islice(tar_members(shard, _TEXTS), _LOOKED_AT), beside)


def _samples(members: Iterator[Member], beside: _Found, path: str = "") -> Iterator[tuple[str, _Sample]]:
    """Key and sample, for the whole of a shard; what cannot be used goes to `beside`."""
    samples: dict[str, _Sample] = {}
    taken: set[str] = set()
    for member in members:
        if _is_hidden(member.name):
            continue
        match = _KEY.match(member.name)
        key, ending = (match[1], match[2]) if match else ("", "")
        of_use = is_audio(member.name.rpartition("/")[2]) or member.name.lower().endswith(_TEXTS)
        if member.problem is not None and (of_use or not member.name):
            beside.problems.append(_reject(path, member.name or path, *member.problem))
        elif not match or not of_use:
            beside.unread[member.name.rpartition("/")[2].rpartition(".")[2].lower()] += match is not None
        elif not is_text(member.name):
            beside.problems.append(
                _reject(path, repr(member.name), "bad_name", "its name is not readable text; rename it")
            )
        elif member.name in taken:
            beside.problems.append(_reject(path, member.name, "duplicate_id", "a member of this name was before it"))
        else:
            taken.add(member.name)
            sample = samples.setdefault(key, _Sample())
            if member.content is None:
                sample.audio[ending] = member.name
            else:
                stem, kind = _stem(ending), ending.rpartition(".")[2].lower()
                sample.texts[f"{stem}.{kind}" if stem else kind] = member.content
    yield from samples.items()


def _known(sample: _Sample, ending: str) -> tuple[dict[str, Any], Broken | None]:
    """Return the record of the recording of this ending, and why its JSON cannot be read, or None."""
    stem = _stem(ending)
    record: dict[str, Any] = {}
    for name in dict.fromkeys(("json", f"{stem}.json")):
        value = parsed(_decoded(sample.texts[name])) if name in sample.texts else {}
        if isinstance(value, Broken):
            return {}, value
        record |= value
    own = sample.own(ending)
    said = {column: _decoded(own[kind]) for kind, column in _KINDS.items() if column and kind in own}
    record |= {column: text for column, text in said.items() if text not in MISSING}
    return record | {name: _decoded(content) for name, content in sample.unpaired().items()}, None


def _decoded(content: bytes) -> str:
    return content.decode(errors="replace").strip()


def _name(key: str, ending: str, sample: _Sample) -> str:
    """Return the key, with the ending or stem of the recording where several share the key."""
    stem = _stem(ending)
    if stem and _has_own(sample, stem) and sum(_stem(each) == stem for each in sample.audio) == 1:
        return f"{key}.{stem}"
    return key if len(sample.audio) == 1 else f"{key}.{ending.lower()}"


def _has_own(sample: _Sample, stem: str) -> bool:
    return any(f"{stem}.{kind}" in sample.texts for kind in _KINDS)


def _note_unpaired(key: str, sample: _Sample, beside: _Found) -> None:
    """Note recordings that have no text but lie beside one that is about none of them by its name."""
    lost = next(iter(sample.unpaired()), None)
    if lost is not None:
        beside.unpaired += [f"{key}.{lost}" for ending in sample.audio if not sample.own(ending)]


def _stem(ending: str) -> str:
    """Return the part between the key and the last dot."""
    return ending.rpartition(".")[0]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


def _has_shards(folder: Path) -> bool:
    members = (member for tar in _tars(folder)[:_SHARDS_LOOKED_AT] for member in islice(tar_members(tar), _LOOKED_AT))
    return any(is_audio(member.name.rpartition("/")[2]) and not _is_hidden(member.name) for member in members)


def _tars(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if is_tar(file.name) and file.is_file() and file.name[0] != ".")


def _reject(path: str, name: str, reason: str, why: str) -> Reject:
    return Reject(name=shown(name), path=path, reason=reason, message=f"{path}, '{shown(name)}': {why}")
