"""One MLflow run per `kedro run`."""

from __future__ import annotations

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl


class MlflowHook:
    """Extends kedro-mlflow's hook."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Nothing yet."""
