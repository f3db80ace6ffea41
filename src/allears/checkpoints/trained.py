"""Which runs and models of this project have trained on given clips, as their exports and their specs tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.checkpoints.heard import NAME, load_heard
from allears.checkpoints.known import WEIGHTS
from allears.storage.digest import file_digest
from allears.storage.files import read_json

_KINDS = {"encoder": "encoder", "runs": "pretraining"}  # by the folder that theirs lie in


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model, or a run that left none. `clips`: how many of the clips it has heard; None: its shards held some, and
    it kept no list of what it heard. `digest` is that of a model's weights, `corpus` the one that it lies with.
    """

    kind: str
    folder: str
    corpus: str
    clips: int | None
    digest: str = ""


def trained_on(
    data: Path, corpus: str, *, pcm: Collection[str], groups: Collection[str] = (), shards: Collection[str]
) -> list[Trained]:
    """Models that have heard clips of `corpus` by their samples' digests `pcm` (in the shards) or anything of `groups`,
    and runs without a model that were given one of the `shards` (digests).
    """
    return [*_models(data, corpus, pcm, groups), *_runs(data, shards)]


def shards_of(spec: Mapping[str, Any]) -> set[str]:
    """Digests of the shards that a training was given (its `spec.json`), those of other corpora too."""
    return {str(one["shard_set"]["digest"]) for one in (spec, *spec.get("others", ()))}


def _is_exported(folder: Path) -> bool:
    """Whether `folder` is that of a pretraining whose export tells the same."""
    return folder.parent.name == "runs" and (folder.parents[1] / "encoder" / folder.name / NAME).exists()


def _models(data: Path, corpus: str, pcm: Collection[str], groups: Collection[str]) -> Iterator[Trained]:
    for file in sorted((data / "06_models").glob(f"*/**/{NAME}")):
        folder = file.parent
        if _is_exported(folder):
            continue
        heard = load_heard(folder)
        clips = heard.clips_of(pcm) if heard else 0
        if heard is None or not (clips or heard.knows_group(corpus, groups)):
            continue
        weights = folder / WEIGHTS
        yield Trained(
            kind=_KINDS.get(folder.parent.name, "task model"), folder=str(folder),
            corpus=file.relative_to(data / "06_models").parts[0], clips=clips,
            digest=file_digest(weights) if weights.exists() else "",
        )  # fmt: skip


def _runs(data: Path, shards: Collection[str]) -> Iterator[Trained]:
    for kind in ("runs", "finetune"):
        for file in sorted((data / "06_models").glob(f"*/{kind}/*/spec.json")):
            told = (file.parent / NAME).exists() or any(file.parent.glob(f"models/*/{NAME}"))
            if shards_of(read_json(file)) & set(shards) and not told and not _is_exported(file.parent):
                what = "pretraining" if kind == "runs" else "fine-tuning"
                yield Trained(kind=what, folder=str(file.parent), corpus=file.parents[2].name, clips=None)
