"""Which clips carry a target, and which of them a probe or a fine-tuning looks at. Free of torch: plans ask it too.

Legend: `N` clips.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from allears.downstream.subsets import draw_at_most
from allears.errors import ConfigError, nearest
from allears.params.labelled import ClipLimits
from allears.shards.clips import read_clips
from allears.text.normalise import normalise
from allears.types import Split

TEXT = "text"
MIN_SAMPLES = 1600  # 0.1 s: shorter clips have no frame to speak of
_COLUMNS = ("text", "label", "language", "accent", "gender", "age")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Clips with a known target, in the order of the table; all fields align. `samples` are whole clips.

    `alike`: they fall into no classes (texts, numbers), so none is too rare, and a share is drawn of all together.
    """

    target: str
    clips: tuple[str, ...]
    splits: tuple[Split, ...]
    groups: tuple[str, ...]
    references: tuple[str, ...]
    samples: tuple[int, ...]
    alike: bool = False

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, positions: Sequence[int]) -> Labelled:
        """The clips at `positions`."""
        return replace(
            self,
            clips=tuple(self.clips[i] for i in positions),
            splits=tuple(self.splits[i] for i in positions),
            groups=tuple(self.groups[i] for i in positions),
            references=tuple(self.references[i] for i in positions),
            samples=tuple(self.samples[i] for i in positions),
        )

    def of(self, split: Split) -> list[int]:
        """Positions of a split."""
        return [i for i, one in enumerate(self.splits) if one == split]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class of each clip; that of all where they are alike."""
        return (self.target,) * len(self) if self.alike else self.references

    def counts(self, split: Split) -> dict[str, int]:
        """Clips of each class in a split."""
        if self.alike:
            return {self.target: len(self.of(split))}
        return dict(Counter(self.references[i] for i in self.of(split)))


def read_labelled(path: Path, target: str, *, alike: bool = False) -> Labelled:
    """Kept clips of the table at `path` whose `target` is known: 'text' (normalised), a column, or a key of attributes.

    Texts are always `alike`. Raises ConfigError when there is neither such a column nor such a key.
    """
    table = read_clips(path)
    values = table.column(target) if target in _COLUMNS else _attribute(table.column("attributes"), target)
    references = [_reference(value, target) for value in values]
    samples, keep = table.column("samples"), table.column("keep")
    positions = [i for i, one in enumerate(references) if one and keep[i] and (samples[i] or 0) >= MIN_SAMPLES]

    def column(name: str) -> tuple[str, ...]:
        whole = table.column(name)
        return tuple(str(whole[i]) for i in positions)

    return Labelled(
        target=target,
        clips=column("clip"),
        splits=tuple(cast("Split", split) for split in column("split")),
        groups=column("group"),
        references=tuple(str(references[i]) for i in positions),
        samples=tuple(int(samples[i]) for i in positions),
        alike=alike or target == TEXT,
    )


def with_classes(labelled: Labelled, least: int) -> tuple[Labelled, tuple[str, ...]]:
    """The clips of classes with at least `least` training clips, and these classes, sorted."""
    classes = tuple(sorted(name for name, clips in labelled.counts("train").items() if clips >= least))
    kept = set(classes)
    return labelled.take([i for i, one in enumerate(labelled.references) if one in kept]), classes


def limited(labelled: Labelled, limits: ClipLimits, rate_hz: int, seed: int) -> Labelled:
    """At most so many clips of each split, classes in proportion, over as many speakers as possible.

    For text, clips over `limits.seconds` are left out: a cut clip would not hold its text.
    """
    most: dict[Split, int] = {"train": limits.train, "dev": limits.dev, "test": limits.test}
    taken: list[int] = []
    for split, cap in most.items():
        members = labelled.of(split)
        if labelled.target == TEXT:
            members = [i for i in members if labelled.samples[i] <= limits.seconds * rate_hz]
        if len(members) > cap:
            classes = [labelled.classes[i] for i in members]
            drawn = draw_at_most(classes, [labelled.groups[i] for i in members], cap, seed)
            members = [members[int(i)] for i in drawn]
        taken += members
    return labelled.take(sorted(taken))


def leave_out(labelled: Labelled, group: str) -> Labelled:
    """The splits of one fold: `group` is the test, the group after it (in sorted order) dev, the others train."""
    groups = sorted(set(labelled.groups))
    dev = groups[(groups.index(group) + 1) % len(groups)]
    splits: list[Split] = ["test" if one == group else "dev" if one == dev else "train" for one in labelled.groups]
    return replace(labelled, splits=tuple(splits))


def why_not(labelled: Labelled, classes: Sequence[str], least: int) -> str | None:
    """What keeps this target from being learned and tested, as words; None when nothing does."""
    target = labelled.target
    if not len(labelled):
        return (
            f"no kept clip has a {target}" if labelled.alike else f"no kept clip of a large enough class has {target!r}"
        )
    if not labelled.alike and len(classes) < 2:
        return f"{target!r} has {len(classes)} class with at least {least} training clips, and 2 are needed"
    if labelled.alike and len(labelled.of("train")) < least:
        return f"{len(labelled.of('train'))} training clips have a known {target}, and {least} are needed"
    for split in ("dev", "test"):
        if not labelled.of(split):
            return f"no clip of the {split} speakers has a {target}"
    return None


def _attribute(rows: Sequence[str | None], key: str) -> list[object]:
    parsed = [json.loads(row) if row else {} for row in rows]
    if not any(key in row for row in parsed):
        known = sorted({*_COLUMNS, *(name for row in parsed for name in row)})
        raise ConfigError(
            f"no column and no attribute of this corpus is called '{key}' (finetune.target, pretrain.probe.label)"
            f"{nearest(key, known)}. Known: {', '.join(known)}"
        )
    return [row.get(key) for row in parsed]


def _reference(value: object, target: str) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return normalise(str(value)) if target == TEXT else str(value).strip()
