"""Before a run: where its work is done, and in which country."""

from __future__ import annotations

import os

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from allears.engine.chosen import choose
from allears.params.cost import CostParams
from allears.params.engine import EngineParams
from allears.process.energy import VARIABLE


class EngineHook:
    """Chooses the engine that the configuration names; notes its country for the trainings that the run starts."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """After CorpusHook has checked the parameters."""
        parameters = context.config_loader["parameters"]
        choose(EngineParams.model_validate(parameters.get("engine", {})))
        os.environ[VARIABLE] = CostParams.model_validate(parameters.get("cost", {})).country or ""
