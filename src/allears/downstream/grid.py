"""What a corpus's labels allow to fine-tune: tasks, classes, shares, and what is skipped and why. Free of torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from allears.downstream.labels import TEXT, Labelled, leave_out, limited, read_labelled, why_not, with_classes
from allears.downstream.subsets import shortage
from allears.errors import ConfigError
from allears.params.finetune import Arm, FinetuneParams
from allears.params.spec_finetune import TaskPlan

ONLY = "mean"  # the head of a task that offers no choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training of the grid. `fold` is the group that is left out, '' with the corpus's own splits."""

    plan: str
    fold: str
    arm: Arm
    share: float
    seed: int
    learning_rate: float
    head: str

    @property
    def name(self) -> str:
        """The stem of its files. A fold's is a readable part and a digest: groups may be long or differ in `/` only."""
        fold = f"-without-{_readable(self.fold)}" if self.fold else ""
        choice = f"lr{self.learning_rate:g}-{self.head}"
        return f"{self.plan}{fold}-{self.arm}-share{self.share:g}-seed{self.seed}-{choice}".replace("/", "_")


def plan_tasks(clips: Path, params: FinetuneParams, rate_hz: int) -> tuple[TaskPlan, ...]:
    """The tasks of `params.task`. Raises ConfigError when none of them can be learned, with every reason."""
    plans: list[TaskPlan] = []
    reasons: list[str] = []
    for task, config in params.tasks.items():
        target = TEXT if config.learns_text else params.target
        found = _plan(task, read_labelled(clips, target, alike=not config.has_classes), params, rate_hz)
        if isinstance(found, str):
            reasons.append(found)
        else:
            plans.append(found)
        if plans and params.task == "auto":
            break
    if not plans:
        raise ConfigError(
            f"nothing to fine-tune on: {'; '.join(reasons)}. Name a column that the corpus has with finetune.target "
            "(gender, accent, language, age, or a key of attributes), give the corpus's label column as ingest.label, "
            "or lower finetune.min_class_clips or finetune.min_text_clips"
        )
    return tuple(plans)


def task_clips(clips: Path, plan: TaskPlan, params: FinetuneParams, rate_hz: int) -> list[tuple[str, Labelled]]:
    """(fold, its clips) for every fold of a plan: one called '' unless groups are left out in turn."""
    config = params.tasks[plan.task]
    labelled = read_labelled(clips, plan.target, alike=not config.has_classes)
    return list(_folds(labelled, params, rate_hz))


def searched(plan: TaskPlan, fold: str, arm: Arm, params: FinetuneParams) -> list[Cell]:
    """What is tried first, the same for every arm: shares × learning rates × heads, with the first seed."""
    choices = params.tasks[plan.task].head_choices if plan.task in params.tasks else None
    heads = getattr(params, choices) if choices else (ONLY,)
    return [
        Cell(plan=plan.name, fold=fold, arm=arm, share=share, seed=0, learning_rate=rate, head=head)
        for share in plan.shares
        for rate in params.learning_rates
        for head in heads
    ]


def _readable(group: str) -> str:
    digest = hashlib.sha256(group.encode(errors="surrogateescape")).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', group)[:40]}-{digest}"


def _folds(labelled: Labelled, params: FinetuneParams, rate_hz: int) -> Iterator[tuple[str, Labelled]]:
    if not params.leave_one_group_out:
        yield "", _usable(labelled, params, rate_hz)
        return
    for group in sorted(set(labelled.groups)):
        yield group, _usable(leave_out(labelled, group), params, rate_hz)


def _usable(labelled: Labelled, params: FinetuneParams, rate_hz: int) -> Labelled:
    """The clips that count; a class that the limits make too small is gone from every split."""
    if labelled.alike:
        return limited(labelled, params.limits, rate_hz, params.seed)
    large, _ = with_classes(labelled, params.min_class_clips)
    return with_classes(limited(large, params.limits, rate_hz, params.seed), params.min_class_clips)[0]


def _plan(task: str, every: Labelled, params: FinetuneParams, rate_hz: int) -> TaskPlan | str:
    """The plan of one task on `every` clip that has its target, or why there is none."""
    target = every.target
    least = params.min_text_clips if every.alike else params.min_class_clips
    share_least = params.min_text_clips if every.alike else params.min_clips_per_class
    folds = list(_folds(every, params, rate_hz))
    if params.leave_one_group_out and len(folds) < 3:
        return f"finetune.leave_one_group_out needs 3 groups, and {len(folds)} have a {target!r}"
    shares, skipped = list(params.shares), []
    classes: set[str] = set()
    for fold, labelled in folds:
        here = () if every.alike else tuple(sorted(labelled.counts("train")))
        if reason := why_not(labelled, here, least):
            return f"without {fold}, {reason}" if fold else reason
        classes |= set(here)
        for share in list(shares):
            if short := shortage(labelled.counts("train"), share, share_least):
                shares.remove(share)
                what = "transcribed clips" if target == TEXT else "clips" if every.alike else f"clips of {short.name!r}"
                skipped.append(
                    f"{share:.4g} of the labels leaves {short.clips} {what} (of {short.of} in train), "
                    f"and {share_least} are needed"
                )
    if not shares:
        return f"every share of {target!r} is too small: {'; '.join(skipped)}"
    everything = [labelled for _, labelled in folds]
    return TaskPlan(
        task=task,
        target=target,
        classes=tuple(sorted(classes)),
        shares=tuple(shares),
        skipped=tuple(skipped),
        train_clips=len(everything[0].of("train")),
        dev_clips=len(everything[0].of("dev")),
        test_clips=sum(len(one.of("test")) for one in everything),
        groups=len({labelled.groups[i] for labelled in everything for i in labelled.of("test")}),
    )
