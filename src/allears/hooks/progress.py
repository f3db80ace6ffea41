"""Which step runs, and how many are left."""

from __future__ import annotations

import time
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from rich.console import Console

WORTH_TELLING_S = 1.0


class ProgressHook:
    """One line a step on stderr: its place, its name, and its time when it took some."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._total = self._at = 0
        self._since = 0.0

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the steps."""
        self._total, self._at = len(pipeline.nodes), 0

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node) -> None:
        """Name the step."""
        self._at += 1
        self._since = time.monotonic()
        name = str(node._name or node._func_name).replace("_", " ")  # noqa: SLF001 - `name` spells out all inputs
        self._console.print(f"[bold]{self._at}/{self._total}[/bold] {name}")

    @hook_impl(trylast=True)
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Say how long it took."""
        del outputs
        took_s = time.monotonic() - self._since
        if took_s >= WORTH_TELLING_S:
            self._console.print(f"[dim]    {took_s:.0f} s[/dim]")
