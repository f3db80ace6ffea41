"""Batches on the host: what the plan says, read, padded and handed over in order, ahead of the training step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allears.errors import ConfigError, CorpusError
from allears.shards.plan import EpochPlan, PlanSpec, plan_epoch
from allears.shards.reader import ShardReader

AHEAD = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where training stands: `step` counts global steps over all epochs, `epoch_step` those of `epoch`, all from 0."""

    step: int = 0
    epoch: int = 0
    epoch_step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """One micro-batch: crops padded with zeros on the right. Empty (B = 0) where it only pads the last step.

    `place_B`: clips' places in the index; `audio_BT` float32; `samples_B` true lengths; `starts_B` first samples of the
    crops; `after` is the cursor once the step that this micro-batch belongs to is done.
    """

    keys: tuple[str, ...]
    place_B: NDArray[np.int64]
    audio_BT: NDArray[np.float32]
    samples_B: NDArray[np.int64]
    starts_B: NDArray[np.int64]
    epoch: int
    step: int
    after: Cursor


def iterate(
    reader: ShardReader,
    spec: PlanSpec,
    weights_N: NDArray[np.float64],
    *,
    begin: Cursor,
    last_step: int,
    rank: int = 0,
    world: int = 1,
) -> Iterator[HostBatch]:
    """The micro-batches of this rank from `begin` until `last_step` global steps are done, read ahead by a thread.

    `weights_N` [N] is in the order of the reader's index; 0 leaves a clip out. Each step gives group / world
    micro-batches. ConfigError when `world` does not divide the group, CorpusError when no clip can be planned.
    """
    if spec.group % world:
        valid = ", ".join(str(n) for n in range(1, spec.group + 1) if spec.group % n == 0)
        raise ConfigError(f"{world} processes cannot share steps of {spec.group} micro-batches; use one of {valid}")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
        waiting: deque[Future[HostBatch]] = deque()
        for plan, micro, cursor in _places(reader, spec, weights_N, begin, last_step, rank, world):
            waiting.append(thread.submit(_load, reader, plan, micro, cursor, spec.group))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _places(
    reader: ShardReader,
    spec: PlanSpec,
    weights_N: NDArray[np.float64],
    begin: Cursor,
    last_step: int,
    rank: int,
    world: int,
) -> Iterator[tuple[EpochPlan, int, Cursor]]:
    step, epoch, epoch_step = begin.step, begin.epoch, begin.epoch_step
    barren = 0
    while step < last_step:
        plan = plan_epoch(reader.index.samples_N, weights_N, spec, epoch)
        steps = plan.micro_batches // spec.group
        barren = barren + 1 if steps == 0 else 0
        if barren > 1000:
            raise CorpusError(
                "no clip can be planned for training: all are shorter than the smallest crop or have no weight; "
                "look at the audit page, then loosen the policy or lower the smallest crop"
            )
        for inner in range(epoch_step, min(steps, epoch_step + last_step - step)):
            for micro in range(inner * spec.group + rank, (inner + 1) * spec.group, world):
                yield plan, micro, Cursor(step, epoch, inner)
            step += 1
        epoch, epoch_step = epoch + 1, 0


def _load(reader: ShardReader, plan: EpochPlan, micro: int, at: Cursor, group: int) -> HostBatch:
    first, last = int(plan.bounds_M[micro]), int(plan.bounds_M[micro + 1])
    place_B, starts_B, samples_B = plan.clip_P[first:last], plan.start_P[first:last], plan.samples_P[first:last]
    audio_BT = np.zeros((last - first, int(samples_B.max(initial=0))), dtype=np.float32)
    for row, (place, start, samples) in enumerate(zip(place_B, starts_B, samples_B, strict=True)):
        audio_BT[row, :samples] = reader.read(int(place), int(start), int(samples))
    ends_epoch = (at.epoch_step + 1) * group >= plan.micro_batches
    return HostBatch(
        keys=tuple(reader.index.clips[int(place)] for place in place_B),
        place_B=place_B,
        audio_BT=audio_BT,
        samples_B=samples_B,
        starts_B=starts_B,
        epoch=at.epoch,
        step=at.step,
        after=Cursor(at.step + 1, at.epoch + 1 if ends_epoch else at.epoch, 0 if ends_epoch else at.epoch_step + 1),
    )
