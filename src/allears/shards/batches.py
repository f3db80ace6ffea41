"""Batches on the host: what the plan says, read, padded and handed over in order, ahead of the training step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from allears.errors import ConfigError, CorpusError, DamageError, StaleError
from allears.shards.ahead import announced
from allears.shards.changes import PLAN_VERSION, Facts, batch_facts, changes
from allears.shards.corpora import CorporaReader
from allears.shards.plan import EpochPlan, PlanClips, PlanSpec, plan_epoch
from allears.shards.reader import ShardReader
from allears.storage.digest import value_digest

Finished = TypeVar("Finished")
AHEAD = 4  # micro-batches that each thread is ahead


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where training stands: `step` counts global steps over all epochs, `epoch_step` those of `epoch`, all from 0."""

    step: int = 0
    epoch: int = 0
    epoch_step: int = 0

    def after(self, steps: int) -> Cursor:
        """Where training stands once this step is done, in an epoch of `steps` steps."""
        if self.epoch_step + 1 >= steps:
            return Cursor(self.step + 1, self.epoch + 1, 0)
        return Cursor(self.step + 1, self.epoch, self.epoch_step + 1)

    def state(self, spec: PlanSpec, data: Facts) -> dict[str, Any]:
        """What a checkpoint keeps of the data: where training stands, and what decides the batches.

        `data` are the digests of shards and selection that `spec.digest` is made of.
        """
        return asdict(self) | {"batches": batch_facts(spec, data)}

    @classmethod
    def resume(cls, state: dict[str, Any], spec: PlanSpec, data: Facts) -> Cursor:
        """The cursor of a checkpoint; StaleError, which says what changed, when it was counted in other batches."""
        now = batch_facts(spec, data)
        if changed := changes(state["batches"], now):
            raise StaleError(f"its checkpoint counts other batches than those planned now. Changed: {changed}")
        return cls(int(state["step"]), int(state["epoch"]), int(state["epoch_step"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What so many steps of a training use. `length`: samples, units or tokens; `padded` counts padding too."""

    clips: int
    epochs: float
    micro_batches: int
    length: int
    padded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """One micro-batch: crops padded with zeros on the right. Empty (B = 0) where it only pads the last step.

    `place_B`: clips' places in the index; `audio_BT` float32, None where audio is not asked for; `lengths_B` and
    `starts_B`: of the crops, in samples, units or tokens, as the plan counts; `before_B` how often the epoch has used
    each clip before; `micro` counts the micro-batches of its step;
    `step_length` and `step_clips` are those of the whole step, over all ranks; `after` is the cursor once that step is
    done. `skipped` says of each damaged clip that was left out what is wrong with it, `skipped_length` how long the
    crops were; all else is without them, but for the counts of the step.
    """

    keys: tuple[str, ...]
    place_B: NDArray[np.int64]
    audio_BT: NDArray[np.float32] | None
    lengths_B: NDArray[np.int64]
    starts_B: NDArray[np.int64]
    before_B: NDArray[np.int64]
    epoch: int
    step: int
    micro: int
    step_length: int
    step_clips: int
    after: Cursor
    skipped: tuple[str, ...]
    skipped_length: int


def iterate_as(
    finish: Callable[[HostBatch], Finished],
    reader: ShardReader | CorporaReader,
    spec: PlanSpec,
    weights_N: NDArray[np.float64],
    *,
    begin: Cursor,
    last_step: int,
    rank: int = 0,
    world: int = 1,
    threads: int = 1,
    skip_damaged: bool = False,
    lengths_N: NDArray[np.int64] | None = None,
    audio: bool = True,
) -> Iterator[Finished]:
    """Yield `finish(batch)` for the micro-batches of this rank, in order, read and finished ahead by `threads`.

    Clips are decoded without Python's lock, so threads are as good as processes; how many changes no batch.

    `weights_N` [N] is in the order of the reader's index; 0 leaves a clip out. `lengths_N` [N]: what the plan counts,
    by default samples; without `audio` no audio is read. Each step gives group / world
    micro-batches. ConfigError when `world` does not divide the group, CorpusError when no clip can be planned,
    DamageError when a clip cannot be read: with `skip_damaged` its batch goes on without it.
    """
    if spec.group % world:
        valid = ", ".join(str(n) for n in range(1, spec.group + 1) if spec.group % n == 0)
        raise ConfigError(f"{world} processes cannot share steps of {spec.group} micro-batches; use one of {valid}")
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Finished]] = deque()
        lengths_N = reader.index.samples_N if lengths_N is None else lengths_N
        clips = PlanClips(lengths_N, weights_N, reader.index.shard_N, reader.index.first_shards)
        places = _places(clips, spec, begin, last_step, rank, world)
        if audio and reader.round_bytes:  # each is asked for before it is needed
            size_of = partial(_flac_bytes, reader.index.length_N)
            places = announced(places, _clips_of, size_of, reader.expect, reader.round_bytes)
        for plan, micro, cursor in places:
            waiting.append(pool.submit(_finished, finish, reader, plan, micro, cursor, spec.group, skip_damaged, audio))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def as_read(batch: HostBatch) -> HostBatch:
    """Return a batch as it is: what `iterate` finishes."""
    return batch


iterate: Callable[..., Iterator[HostBatch]] = partial(iterate_as, as_read)


def plan_digest(spec: PlanSpec) -> str:
    """Names all batches of `spec`: those of equal digest are equal."""
    return value_digest(["plan", PLAN_VERSION, asdict(spec)])


def advanced(clips: PlanClips, spec: PlanSpec, begin: Cursor, last_step: int) -> Cursor:
    """Where training that is at `begin` stands once `last_step` global steps are done."""
    cursor = begin
    for plan, at, first, last in _epochs(clips, spec, begin, last_step):
        done = last - first
        cursor = Cursor(at.step + done - 1, at.epoch, last - 1).after(plan.micro_batches // spec.group)
    return cursor


def totals(clips: PlanClips, spec: PlanSpec, begin: Cursor, last_step: int) -> Totals:
    """What is heard from `begin` until `last_step` global steps are done, without reading any audio."""
    crops = micro_batches = length = padded = 0
    epochs = 0.0
    for plan, _, first, last in _epochs(clips, spec, begin, last_step):
        part = plan.part(first, last, spec.group)
        crops += len(part.clip_P)
        micro_batches += int((np.diff(part.bounds_M) > 0).sum())
        length += int(part.lengths_P.sum())
        padded += part.padded_length
        epochs += (last - first) * spec.group / plan.micro_batches
    return Totals(clips=crops, epochs=epochs, micro_batches=micro_batches, length=length, padded=padded)


def _places(
    clips: PlanClips, spec: PlanSpec, begin: Cursor, last_step: int, rank: int, world: int
) -> Iterator[tuple[EpochPlan, int, Cursor]]:
    for plan, at, first, last in _epochs(clips, spec, begin, last_step):
        for inner in range(first, last):
            for micro in range(inner * spec.group + rank, (inner + 1) * spec.group, world):
                yield plan, micro, Cursor(at.step + inner - first, at.epoch, inner)


def _clips_of(wanted: tuple[EpochPlan, int, Cursor]) -> list[int]:
    plan, micro, _ = wanted
    places: list[int] = plan.clip_P[int(plan.bounds_M[micro]) : int(plan.bounds_M[micro + 1])].tolist()
    return places


def _flac_bytes(length_N: NDArray[np.int64], places: list[int]) -> int:
    return int(length_N[places].sum())


def _epochs(
    clips: PlanClips, spec: PlanSpec, begin: Cursor, last_step: int
) -> Iterator[tuple[EpochPlan, Cursor, int, int]]:
    """Plans of the epochs that the steps from `begin` to `last_step` lie in, each with the cursor at which it begins
    here and its first and last (not included) step.
    """
    step, epoch, epoch_step = begin.step, begin.epoch, begin.epoch_step
    barren = 0
    while step < last_step:
        plan = plan_epoch(clips, spec, epoch)
        steps = plan.micro_batches // spec.group
        barren = barren + 1 if steps == 0 else 0
        if barren > 1000:
            raise CorpusError(
                "no clip can be planned for training: all are shorter than the smallest crop or have no weight; "
                "look at the audit page, then loosen the policy or lower the smallest crop"
            )
        last = min(steps, epoch_step + last_step - step)
        if last > epoch_step:
            yield plan, Cursor(step, epoch, epoch_step), epoch_step, last
            step += last - epoch_step
        epoch, epoch_step = epoch + 1, 0


def _finished(finish: Callable[[HostBatch], Finished], *wanted: Any) -> Finished:
    return finish(_load(*wanted))


def _load(
    reader: ShardReader | CorporaReader,
    plan: EpochPlan,
    micro: int,
    at: Cursor,
    group: int,
    skip_damaged: bool,
    audio: bool,
) -> HostBatch:
    first, last = int(plan.bounds_M[micro]), int(plan.bounds_M[micro + 1])
    place_B, starts_B, samples_B = plan.clip_P[first:last], plan.start_P[first:last], plan.lengths_P[first:last]
    before_B = plan.before_P[first:last]
    shape = (last - first, int(samples_B.max(initial=0)))
    audio_BT = np.empty(shape, dtype=np.float32) if audio else None
    damage: dict[int, str] = {}
    for row, (place, start, samples) in enumerate(
        zip(place_B.tolist(), starts_B.tolist(), samples_B.tolist(), strict=True)
    ):
        if audio_BT is None:
            break
        try:
            reader.read_into(place, start, audio_BT[row, :samples])
            audio_BT[row, samples:] = 0
        except DamageError as error:
            if not skip_damaged:
                raise
            damage[row] = str(error)
    skipped_length = int(samples_B[list(damage)].sum())
    if damage and audio_BT is not None:
        whole_B = np.delete(np.arange(last - first), list(damage))
        place_B, starts_B, samples_B = place_B[whole_B], starts_B[whole_B], samples_B[whole_B]
        before_B = before_B[whole_B]
        audio_BT = audio_BT[whole_B, : int(samples_B.max(initial=0))]
    whole = slice(int(plan.bounds_M[micro - micro % group]), int(plan.bounds_M[micro - micro % group + group]))
    return HostBatch(
        keys=tuple(reader.index.clips[int(place)] for place in place_B),
        place_B=place_B,
        audio_BT=audio_BT,
        lengths_B=samples_B,
        starts_B=starts_B,
        before_B=before_B,
        epoch=at.epoch,
        step=at.step,
        micro=micro % group,
        step_length=int(plan.lengths_P[whole].sum()),
        step_clips=whole.stop - whole.start,
        after=at.after(plan.micro_batches // group),
        skipped=tuple(damage.values()),
        skipped_length=skipped_length,
    )
