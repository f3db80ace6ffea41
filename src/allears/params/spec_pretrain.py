"""What the process of a pretraining is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from allears.params.base import Base, Params
from allears.params.pretrain import PretrainParams

VERSION = 3  # raised when a change of code gives other results for the same spec


class ExtendedRun(Params):
    """The run that this one adds to, finished or stopped: its last checkpoint, and what it had done by then."""

    run: str
    identity: str
    checkpoint: Path
    updates: int


class UnitSource(Params):
    """Source of units: MFCCs, or layer `layer` of the encoder in `folder` (`digest` of its configuration and weights).

    `centres`: those of the run that is extended, which are used as they are; None: they are fitted. `words`: for
    people; `base`: the record of the public base that the encoder is, or continues.
    """

    folder: Path | None = None
    layer: int = 0
    digest: str = ""
    centres: Path | None = None
    words: str = "MFCCs"
    base: dict[str, Any] | None = None


class OtherCorpus(Params):
    """A corpus that is heard beside the run's own: the version that its audit was of, shards and clips as below, and
    its share of the audio (None: as often in an epoch as its own audit says).
    """

    corpus: str
    version: str
    shard_set: dict[str, Any]
    clips: Path
    share: float | None


class PretrainSpec(Params):
    """`shard_set` and `targets` are the JSON of these handles, `clips` the table of selection and weights.

    `plan` names the batches that were planned; None: not checked, as in specs of an earlier allears.
    """

    task: Literal["pretrain"] = "pretrain"
    folder: Path
    identity: str
    shard_set: dict[str, Any]
    clips: Path
    others: tuple[OtherCorpus, ...] = ()
    plan: str | None = None
    targets: dict[str, Any]
    extends: ExtendedRun | None = None
    base: Base | None = None
    pretrain: PretrainParams

    @property
    def first_update(self) -> int:
        """Updates that the weights have seen before this run."""
        return self.extends.updates if self.extends else 0

    @property
    def last_update(self) -> int:
        """Updates that they will have seen after it."""
        return self.first_update + self.pretrain.updates
