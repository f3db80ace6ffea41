"""Before a run: where its work is done."""

from __future__ import annotations

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from allears.engine.chosen import choose
from allears.params.engine import EngineParams


class EngineHook:
    """Chooses the engine that the configuration names."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """After CorpusHook has checked the parameters."""
        choose(EngineParams.model_validate(context.config_loader["parameters"].get("engine", {})))
