"""One process that runs a whole grid of fine-tunings, cell by cell; a killed one goes on with the first missing cell.

For each task, arm and share, every learning rate and head is tried with the first seed, the two best with all seeds,
and dev speakers choose (fewest errors, summed over seeds). Test speakers are read once, by the chosen cells only. Seed
`s` has the same labelled clips, order and new heads in all arms; `scratch` and `random_frozen` have the same new
encoder. Every cell keeps its best check on dev speakers.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch

from allears.checkpoints.export import load_export
from allears.checkpoints.heard import Heard, load_heard
from allears.checkpoints.known import PROVENANCE
from allears.checkpoints.learned import Learned
from allears.downstream.arm import ArmRun, Bench
from allears.downstream.export import save_task_model
from allears.downstream.extract import FeatureStore
from allears.downstream.grid import Cell, task_clips
from allears.downstream.labels import Labelled
from allears.downstream.score_table import CURVES, SCORES, join_parts, write_table
from allears.errors import ConfigError
from allears.models.base import Encoder
from allears.params.finetune import FinetuneParams
from allears.params.spec_finetune import FinetuneSpec, TaskPlan
from allears.process.events import EventLog
from allears.process.hardware import choose_hardware, count_gpus
from allears.process.say import say
from allears.process.workers import side_by_side, worker_count
from allears.shards.clips import read_clips
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.storage.files import read_json
from allears.storage.receipt import read_receipt, write_receipt

SCORES_FILE, CURVES_FILE = "finetune_scores.parquet", "finetune_curves.parquet"
SAY_EVERY_S = 30.0


def run(spec: FinetuneSpec) -> None:
    """Train what is missing, choose, test, join, export the best model of each task; the receipt comes last."""
    if read_receipt(spec.folder, spec.identity) is not None:
        return
    torch.set_num_threads(1)
    params = spec.finetune
    hardware = choose_hardware("finetune", params.accelerator, params.precision, gpus=count_gpus())
    hardware.set_up()
    shard_set = ShardSet.from_json(spec.shard_set)
    pretrained = trimmed(load_export(spec.encoder), params)
    store = FeatureStore(shard_set, pretrained, params.limits.seconds, hardware)
    bench = Bench(
        folder=spec.folder / hardware.name,
        baselines=spec.baselines / hardware.name,
        params=params,
        pretrained=pretrained,
        store=store,
        hardware=hardware,
    )
    arms = [
        ArmRun(bench=bench, plan=plan, fold=fold, labelled=labelled, arm=arm)
        for plan in spec.plans
        for fold, labelled in task_clips(spec.clips, plan, spec.finetune, shard_set.sample_rate_hz)
        for arm in spec.finetune.arms
    ]
    events = EventLog(spec.folder)
    events.start(0, 0.0, {"identity": spec.identity})
    events.params(spec.finetune.model_dump(mode="json"))
    _train(arms, events, worker_count(params.workers, hardware.device))
    join_parts(spec.folder / SCORES_FILE, [arm.scores(cell) for arm in arms for cell in arm.chosen()], SCORES)
    write_table(spec.folder / CURVES_FILE, [arm.curve(cell) for arm in arms for cell in arm.cells], CURVES)
    models = {plan.name: _export(spec, plan, arms) for plan in spec.plans if "pretrained" in spec.finetune.arms}
    notes = {"models": models, "accelerator": hardware.accelerator, "precision": hardware.precision}
    write_receipt(spec.folder, spec.identity, notes)
    events.end(0, 0.0, {})


def trimmed(encoder: Encoder, params: FinetuneParams) -> Encoder:
    """The lowest `keep_blocks` blocks of an encoder. ConfigError when more are to be kept or frozen than there are."""
    blocks = encoder.config.blocks
    kept = params.keep_blocks or blocks
    if kept > blocks:
        raise ConfigError(
            f"finetune.keep_blocks is {kept}, but the encoder has {blocks} blocks; ask for at most {blocks}"
        )
    if params.frozen_blocks > kept:
        raise ConfigError(
            f"finetune.frozen_blocks is {params.frozen_blocks}, but {kept} of the encoder's {blocks} blocks are kept; "
            f"ask for at most {kept}"
        )
    if params.keep_blocks in (None, blocks):
        return encoder
    return encoder.truncated(kept)


def _train(arms: list[ArmRun], events: EventLog, workers: int) -> None:
    """All arms, one after the other; says what it found, how many trainings are left and about how long they take."""
    left = sum(arm.left() for arm in arms)
    began, said, done = time.monotonic(), time.monotonic(), 0
    for arm in arms:
        arm.prepare()
        while tasks := arm.missing():
            for cells in side_by_side(arm.train, tasks, workers):
                for cell in cells:
                    done += 1
                    events.metrics(done, 0.0, {f"dev_error/{arm.plan.name}/{cell.arm}": arm.dev_rate(cell)})
                if time.monotonic() - said > SAY_EVERY_S:
                    said = time.monotonic()
                    say(f"fine-tuning {arm.plan.name}, {arm.title}: {_rest(left - done, (said - began) / done)}")
        list(side_by_side(arm.test, arm.untested(), workers))
        arm.tidy()
        rates = arm.dev_rates()
        events.metrics(done, 0.0, {_metric(arm, share): rate for share, rate in rates.items()})
        found = ", ".join(f"{rate:.3f} at {100 * share:g} %" for share, rate in rates.items())
        said = time.monotonic()
        rest = _rest(left - done, (said - began) / max(1, done))
        say(f"fine-tuned {arm.plan.name}, {arm.title}: dev error {found} of the labels; {rest}")


def _rest(trainings: int, each_s: float) -> str:
    return f"{trainings} trainings left, about {trainings * each_s / 60:.1f} min" if trainings > 0 else "all trained"


def _metric(arm: ArmRun, share: float) -> str:
    fold = f"/without-{arm.fold}" if arm.fold else ""
    return f"dev_error/{arm.plan.name}{fold}/{arm.arm}/share-{share:g}"


def _export(spec: FinetuneSpec, plan: TaskPlan, arms: list[ArmRun]) -> dict[str, Any]:
    """The best pretrained model at the largest share: its folder, and how well it does on dev speakers."""
    mine = [arm for arm in arms if arm.plan.name == plan.name and arm.arm == "pretrained"]
    best = min(mine, key=lambda arm: arm.dev_rate(arm.best()))
    cell = best.best()
    folder = spec.folder / "models" / plan.name
    source = spec.encoder / PROVENANCE
    train = best.labelled.take(best.labelled.of("train"))
    provenance = {
        "corpus": spec.corpus,
        "licences": _licences(spec, train),
        "clips": len(train),
        "speakers": len(set(train.groups)),
        "finetune": spec.identity,
        "task": plan.model_dump(mode="json"),
        "learning_rate": cell.learning_rate,
        "head": cell.head,
        "seed": cell.seed,
        "share": cell.share,
        "shards": spec.shard_set.get("digest"),
        "encoder": read_json(source) if source.exists() else spec.encoder.name,
        **({"base": spec.base} if spec.base else {}),
    }
    save_task_model(folder, best.model(cell), provenance, *_known(spec, best, cell))
    return {"folder": str(folder), "dev_error": best.dev_rate(cell), "share": cell.share, "seed": cell.seed}


def _licences(spec: FinetuneSpec, train: Labelled) -> dict[str, int]:
    """How many of the clips that the largest share is drawn from have each licence."""
    table, wanted = read_clips(spec.clips), set(train.clips)
    named = zip(table.column("clip"), table.column("licence"), strict=True)
    return dict(sorted(Counter(str(licence) for clip, licence in named if clip in wanted).items()))


def _known(spec: FinetuneSpec, arm: ArmRun, cell: Cell) -> tuple[Heard, Learned]:
    """Whom the arm may have trained on and whom its encoder had heard before; and whose targets this cell learned."""
    index = read_index(ShardSet.from_json(spec.shard_set))
    mine, lessons = arm.labelled.take(arm.labelled.of("train")), arm.lessons(cell)

    def pcm(clips: tuple[str, ...]) -> list[str]:
        return [index.pcm_sha256[index.position[clip]] for clip in clips]

    heard = Heard.of(spec.corpus, mine.groups, pcm(mine.clips)).joined(load_heard(spec.encoder))
    return heard, Learned.of(spec.corpus, lessons.clips, pcm(lessons.clips), lessons.groups)
