"""Pipelines that `kedro run` runs before the named ones: those whose products are needed and missing or stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allears.cli.stages import is_fresh
from allears.params.base import Paths

# `audit` and `pretrain` need nothing: they begin with ingest (`pipeline_registry.PARTS`).
NEEDS: dict[str, tuple[str, ...]] = {
    "shard": ("audit",),
    "document": ("audit",),
    "finetune": ("shard", "pretrain"),
    "evaluate": ("finetune",),
    "report": ("pretrain", "evaluate"),
}
OF_STAGE = {"ingest": "audit", "policies": "audit"}  # parameters of a stage that are not under its own name


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command: its pipelines, its corpus, the parameters on its line, and `finetune.encoder` as it is configured."""

    pipelines: tuple[str, ...]
    paths: Paths
    given: Mapping[str, Any]
    encoder: str | None = None

    def missing(self) -> list[str]:
        """Pipelines to run first, in the order of the data."""
        first: list[str] = []
        for name in self.pipelines:
            self._collect(name, first)
        return first

    def _collect(self, name: str, first: list[str]) -> None:
        for need in self._needs(name):
            if need not in self.pipelines and need not in first and self._must_run(need):
                self._collect(need, first)
                first.append(need)

    def _needs(self, name: str) -> tuple[str, ...]:
        needs = NEEDS.get(name, ())
        own_encoder = name != "finetune" or self.encoder in (None, self.paths.corpus)
        return needs if own_encoder else tuple(need for need in needs if need != "pretrain")

    def _must_run(self, stage: str) -> bool:
        """Not made yet, asked for otherwise by this command, or made of data that are made now.

        Tables and shards are also made again when they are stale; a training takes hours, so only a person decides it.
        """
        if stage in {OF_STAGE.get(key, key) for key in self.given}:
            return True
        if not all(file.exists() for file in products(stage, self.paths)):
            return True
        if stage not in ("audit", "shard"):
            return False
        return not is_fresh(self.paths, stage) or any(
            need in self.pipelines or self._must_run(need) for need in NEEDS.get(stage, ())
        )


def products(stage: str, paths: Paths) -> list[Path]:
    """The files of a stage that later ones read."""
    match stage:
        case "audit":
            names = ("verdicts.parquet", "selection.parquet", "audit_passed.json", "audit_summary.json")
            return [paths.primary / name for name in names]
        case "shard":
            return [paths.shards / "shards.json", paths.clips]
        case "pretrain":
            return [paths.models / "pretrained.json", paths.models / "encoder.json", paths.outputs / "probe.parquet"]
        case "finetune":
            return [paths.models / "finetune_run.json", paths.outputs / "finetune_scores.parquet"]
        case _:
            return [paths.outputs / "evaluation.parquet"]
