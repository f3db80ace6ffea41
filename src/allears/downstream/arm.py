"""One arm of a fine-tuning: its grid of shares, seeds and learning rates, the choice on dev speakers, the one test."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.checkpoints.export import read_weights, write_weights
from allears.downstream.build import build_task, task_class
from allears.downstream.examples import Examples
from allears.downstream.extract import FeatureStore, hidden_states
from allears.downstream.fit import FitSettings, fit, predictions
from allears.downstream.grid import Cell, searched
from allears.downstream.labels import Labelled
from allears.downstream.score_table import CURVES, SCORES, columns, write_table
from allears.downstream.subsets import draw_share
from allears.downstream.task import TaskModel
from allears.models.base import Encoder
from allears.models.build import build_encoder
from allears.params.finetune import Arm, FinetuneParams
from allears.params.spec_finetune import TaskPlan
from allears.params.task import TaskConfig
from allears.process.hardware import Hardware
from allears.storage.files import atomic_path, read_json, write_json
from allears.types import Split

CONTENDERS = 2  # options that all seeds try: one seed alone chooses badly where seeds differ much, as from scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Parameters, folders of results, pretrained encoder, features and hardware, which all arms share.

    `folder` has the results of the pretrained arm, `baselines` those of the others.
    """

    folder: Path
    baselines: Path
    params: FinetuneParams
    pretrained: Encoder
    store: FeatureStore
    hardware: Hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRun:
    """An arm on one task and fold. Each finished cell is a file, so that a killed run loses at most one."""

    bench: Bench
    plan: TaskPlan
    fold: str
    labelled: Labelled
    arm: Arm

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.arm}{f' without {self.fold}' if self.fold else ''}"

    @property
    def searched(self) -> list[Cell]:
        """The trainings of the first seed: every share with every learning rate and head."""
        return searched(self.plan, self.fold, self.arm, self.bench.params)

    @property
    def repeated(self) -> list[Cell]:
        """The trainings of the other seeds: of each share the CONTENDERS that dev speakers like best so far."""
        best = [cell for share in self.plan.shares for cell in self._contenders(share)]
        return [replace(cell, seed=seed) for seed in range(1, self.bench.params.seeds) for cell in best]

    @property
    def cells(self) -> list[Cell]:
        """All trainings, once those that are searched are done."""
        return [*self.searched, *self.repeated]

    @property
    def folder(self) -> Path:
        """Where this arm's cells and scores are."""
        return self.bench.folder if self.arm == "pretrained" else self.bench.baselines

    def prepare(self) -> None:
        """Have the features of all clips in memory, before processes share it."""
        if self.left() or not all(self.scores(cell).exists() for cell in self.chosen()):
            self.bench.store.of(self.labelled.clips)

    def left(self) -> int:
        """How many trainings have no result yet."""
        if first := sum(not self.is_trained(cell) for cell in self.searched):
            options = len(self.searched) // len(self.plan.shares)
            return first + len(self.plan.shares) * min(CONTENDERS, options) * (self.bench.params.seeds - 1)
        return sum(not self.is_trained(cell) for cell in self.repeated)

    def missing(self) -> list[list[Cell]]:
        """The next tasks, none when all is trained: what is searched, what is repeated, what somebody deleted.

        A task is a cell, or all cells of a seed and share that listen to one frozen encoder.
        """
        cells = [cell for cell in self.searched if not self.is_trained(cell)]
        cells = cells or [cell for cell in self.repeated if not self.is_trained(cell)] or self._lost()
        if self.arm != "random_frozen":
            return [[cell] for cell in cells]
        together = dict.fromkeys((cell.seed, cell.share) for cell in cells)
        return [[cell for cell in cells if (cell.seed, cell.share) == one] for one in together]

    def train(self, task: list[Cell]) -> list[Cell]:
        """Train the cells of a task, all of one seed; their results are files."""
        train, dev = self._examples(task[0].seed, "train"), self._examples(task[0].seed, "dev")
        for cell in task:
            self._train_cell(cell, train, dev)
        return task

    def untested(self) -> list[list[Cell]]:
        """Tasks of chosen cells that have not predicted the test speakers yet, seed by seed."""
        cells = [cell for cell in self.chosen() if not self.scores(cell).exists()]
        return [[cell for cell in cells if cell.seed == seed] for seed in sorted({cell.seed for cell in cells})]

    def test(self, task: list[Cell]) -> list[Cell]:
        """Predict the test speakers with the cells of a task, all of one seed."""
        examples = self._examples(task[0].seed, "test")
        for cell in task:
            self._test_cell(cell, examples)
        return task

    def tidy(self) -> None:
        """Drop all weights but those of the best cell, once everything is tested."""
        best = self.best()
        for cell in self.cells:
            if cell != best:
                self._weights(cell).unlink(missing_ok=True)

    def chosen(self) -> list[Cell]:
        """Every seed of the contender with the fewest dev errors of its share, summed over the seeds."""
        best = [min(self._contenders(share), key=lambda cell: sum(map(self._dev_errors, self._seeds(cell))))
                for share in self.plan.shares]  # fmt: skip
        return [replace(cell, seed=seed) for seed in range(self.bench.params.seeds) for cell in best]

    def best(self) -> Cell:
        """The chosen cell at the largest share with the fewest dev errors."""
        largest = [cell for cell in self.chosen() if cell.share == max(self.plan.shares)]
        return min(largest, key=self._dev_errors)

    def is_trained(self, cell: Cell) -> bool:
        """Whether a cell has its result."""
        return self._result(cell).exists()

    def dev_rates(self) -> dict[float, float]:
        """Mean dev error rate of the chosen cells by share."""
        chosen = self.chosen()
        return {
            share: sum(self.dev_rate(one) for one in chosen if one.share == share) / self.bench.params.seeds
            for share in self.plan.shares
        }

    def dev_rate(self, cell: Cell) -> float:
        """A trained cell's best error rate on dev speakers."""
        best = read_json(self._result(cell))["best"]
        return int(best["errors"]) / max(1, int(best["total"]))

    def model(self, cell: Cell) -> TaskModel[Any]:
        """A trained cell's model."""
        model = self._new(cell)
        model.load_state_dict(read_weights(self._weights(cell)))
        return model

    def config(self, cell: Cell) -> TaskConfig:
        """Return the task's settings: classes from the plan, the training references, and the cell's head."""
        task = task_class(self.bench.params.tasks[self.plan.task])
        references = [self.labelled.references[i] for i in self.labelled.of("train")]
        return task.configure(self.plan.target, self.plan.classes, references, cell.head)

    def lessons(self, cell: Cell) -> Labelled:
        """The clips that a cell trains on."""
        return self._train_clips().take([int(i) for i in self._picked(cell)])

    def scores(self, cell: Cell) -> Path:
        """Where a cell's test scores are."""
        return self.folder / "scores" / f"{cell.name}.parquet"

    def curve(self, cell: Cell) -> Any:
        """All dev checks of a cell as a table."""
        checks = read_json(self._result(cell))["checks"]
        varying = {
            "step": [check["step"] for check in checks],
            "seconds": [check["seconds"] for check in checks],
            "dev_errors": [check["errors"] for check in checks],
            "dev_total": [check["total"] for check in checks],
        }
        return columns(self._fixed(cell), varying, CURVES)

    def _result(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"

    def _weights(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.safetensors"

    def _lost(self) -> list[Cell]:
        """Chosen cells whose weights are still needed, for the test or the export, and gone."""
        best = self.best()
        needed = [cell for cell in self.chosen() if cell == best or not self.scores(cell).exists()]
        return [cell for cell in needed if not self._weights(cell).exists()]

    def _contenders(self, share: float) -> list[Cell]:
        of_share = [cell for cell in self.searched if cell.share == share]
        return sorted(of_share, key=self._dev_errors)[:CONTENDERS]

    def _seeds(self, cell: Cell) -> list[Cell]:
        return [replace(cell, seed=seed) for seed in range(self.bench.params.seeds)]

    def _dev_errors(self, cell: Cell) -> int:
        return int(read_json(self._result(cell))["best"]["errors"])

    def _fixed(self, cell: Cell) -> dict[str, object]:
        place = {"task": self.plan.task, "target": self.plan.target, "arm": cell.arm, "share": cell.share}
        return place | {"seed": cell.seed, "fold": self.fold, "learning_rate": cell.learning_rate, "head": cell.head}

    def _examples(self, seed: int, split: Split) -> Examples:
        """Features of a split, or for the frozen arm what the seed's new encoder makes of them."""
        found = self.bench.store.examples(self.labelled.take(self.labelled.of(split)))
        if self.arm != "random_frozen":
            return found
        encoder = self._encoder(seed)
        last = encoder.config.blocks
        everything = set(range(len(found)))
        hidden = hidden_states(encoder, found.inputs, (last,), self.bench.hardware, wanted=everything)
        return Examples(inputs=hidden.frames[last], references=found.references, clips=found.clips, groups=found.groups)

    def _encoder(self, seed: int) -> Encoder:
        """The pretrained encoder, or the new one of this seed: the same for `scratch` and `random_frozen`."""
        if self.arm == "pretrained":
            return copy.deepcopy(self.bench.pretrained)
        return build_encoder(self.bench.pretrained.config, seed=1_000_003 * (self.bench.params.seed + 1) + seed)

    def _new(self, cell: Cell) -> TaskModel[Any]:
        encoder = None if self.arm == "random_frozen" else self._encoder(cell.seed)
        width = self.bench.pretrained.config.width
        return build_task(self.config(cell), width, encoder, seed=self.bench.params.seed + cell.seed)

    def _train_cell(self, cell: Cell, train: Examples, dev: Examples) -> None:
        picked = self._picked(cell)
        found = fit(self._new(cell), train.take(picked), dev, self._settings(cell), self.bench.hardware)
        with atomic_path(self._weights(cell)) as temporary:
            write_weights(temporary, found.state, {"format": "pt"})
        best = {"step": found.best.step, "errors": found.best.errors, "total": found.best.total}
        checks = [
            {"step": one.step, "seconds": one.seconds, "errors": one.errors, "total": one.total} for one in found.checks
        ]
        write_json(self._result(cell), {"clips": len(picked), "best": best, "checks": checks})

    def _settings(self, cell: Cell) -> FitSettings:
        """Budget and rates are the same for all; only a pretrained encoder is worth keeping frozen."""
        params = self.bench.params
        common = FitSettings(
            learning_rate=cell.learning_rate,
            updates=params.updates,
            batch_clips=params.batch_clips,
            dev_every=params.dev_every,
            warmup_share=params.warmup_share,
            weight_decay=params.weight_decay,
            encoder_lr_factor=params.encoder_lr_factor,
            seed=params.seed + cell.seed,
        )
        if self.arm != "pretrained":
            return common
        return replace(common, frozen_updates=params.frozen_updates, frozen_blocks=params.frozen_blocks)

    def _train_clips(self) -> Labelled:
        return self.labelled.take(self.labelled.of("train"))

    def _picked(self, cell: Cell) -> NDArray[np.int64]:
        """Positions of the share of the labels among the training clips."""
        train, seed = self._train_clips(), self.bench.params.seed + cell.seed
        return draw_share(train.classes, train.groups, cell.share, seed)

    def _test_cell(self, cell: Cell, examples: Examples) -> None:
        model = self.model(cell)
        said = predictions(model, examples, self.bench.hardware)
        pairs = [model.errors(one, other) for one, other in zip(examples.references, said, strict=True)]
        varying = {
            "clip": examples.clips,
            "group": examples.groups,
            "reference": examples.references,
            "prediction": [model.as_text(prediction) for prediction in said],
            "errors": [errors for errors, _ in pairs],
            "total": [total for _, total in pairs],
        }
        write_table(self.scores(cell), [columns(self._fixed(cell), varying, SCORES)], SCORES)
