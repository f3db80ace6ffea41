"""What names all batches of a training, kept in its checkpoints, and in which of that two trainings differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict

from allears.shards.plan import PlanSpec

PLAN_VERSION = 2  # raised when the same spec gives other batches
Facts = Mapping[str, str | int]

_DATA = "digest"  # of all data together: the facts about them say more
_NAMES = {
    "shards": "the shards",
    "selection": "the clips that are selected",
    "weights": "the weights of the clips",
    "clips": "the number of clips selected",
    "seed": "pretrain.seed",
    "capacity": "the capacity of a batch (pretrain.batch.seconds or tokens)",
    "crop_length": "the longest crop (pretrain.batch.crop_s)",
    "min_length": "the shortest clip (pretrain.batch.min_s)",
    "group": "pretrain.batch.micro_batches",
    "start_multiple": "the samples of a frame (pretrain.encoders)",
    "buckets": "the lengths of crops (pretrain.batch.buckets)",
    "pool": "the crops of a pool",
    "window_shards": "the shards of a window",
    "version": "the version of the plan in allears",
    _DATA: "the data",
}


def batch_facts(spec: PlanSpec, data: Facts) -> dict[str, str | int]:
    """All that decides the batches of `spec`, by name; `data` are the digests that its own digest is made of."""
    return {"version": PLAN_VERSION, **asdict(spec), "buckets": str(spec.buckets), **data}


def changes(then: Facts, now: Facts) -> str:
    """Which facts differ, in words: each with its value then and now; empty when none does."""
    names = [name for name in dict.fromkeys([*then, *now]) if then.get(name) != now.get(name)]
    told = [name for name in names if name != _DATA] or names
    return ", ".join(f"{_named(name)} (then {_shown(then.get(name))}, now {_shown(now.get(name))})" for name in told)


def _named(name: str) -> str:
    what, of, corpus = name.partition(" of ")  # of another corpus that is heard too
    return f"{_NAMES.get(what, what)}{of}{corpus}"


def _shown(value: str | int | None) -> str:
    if value is None:
        return "not noted"
    return value[:12] if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else str(value)
