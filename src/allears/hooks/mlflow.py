"""One MLflow run per `kedro run`. Extends kedro-mlflow's hook, whose configuration (`mlflow.yml`) and `kedro mlflow ui`
stay as they are; but what is logged goes through an outbox, so MLflow may be away.
"""

from __future__ import annotations

import atexit
import os
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook as PluginHook

from allears.hooks import logged
from allears.reporting.screen import plain
from allears.tracking import Outbox, Pump, TrackedRun, recover
from allears.tracking.current import entered
from allears.tracking.git import git_tags
from allears.tracking.store import UI, store_at
from allears.tracking.user import user

OUTBOXES = Path("data/.tracking")  # relative to the project, as everything a run writes
LAST_SEND_S = 60.0  # how long a command waits at its end for a server that takes what it is sent


class MlflowHook(PluginHook):
    """Opens a run, notes parameters, inputs and artifacts of the catalog, and ends it as FINISHED, FAILED or KILLED."""

    def __init__(self) -> None:
        super().__init__()
        self._run: TrackedRun | None = None
        self._pump: Pump | None = None
        self._open = ExitStack()
        self._project = Path()
        self._catalog: CatalogProtocol | None = None
        self._console = plain(stderr=True, soft_wrap=True)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read `mlflow.yml`, but do not ask the server anything: it may be away."""
        config = KedroMlflowConfig.model_validate(context.config_loader["mlflow"])
        self._project = Path(context.project_path)
        self.mlflow_config = config
        context.mlflow = config

    @hook_impl
    def after_catalog_created(self) -> None:
        """The plugin would build every dataset of the catalog here; there is nothing to do for ours."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """End what died, send what was left, and open this run."""
        if rank() != 0:
            return
        leftovers = recover(OUTBOXES)
        names = logged.asked_pipelines(run_params)
        self._pump = pump(self.mlflow_config)
        if set(names) & set(self.mlflow_config.tracking.disable_tracking.pipelines):
            self._pump.start(leftovers)
            return
        uid = uuid.uuid4().hex
        box = Outbox(OUTBOXES, uid)
        self._open.callback(box.close)
        tags = {"mlflow.user": user(), "mlflow.source.type": "LOCAL"}
        tags |= {"mlflow.source.name": "kedro run", **git_tags(self._project), **logged.run_tags(run_params, catalog)}
        atexit.register(self._end, "KILLED")  # Ctrl-C: Kedro calls no hook
        values = logged.parameters(pipeline, catalog)
        name = self.mlflow_config.tracking.run.name or logged.run_name(names, tags["corpus"], values)
        self._run = TrackedRun(box, uid, name, tags)
        self._run.params(values)
        self._open.enter_context(entered(self._run))
        self._catalog = catalog
        self._pump.start(leftovers, box, self._run)

    @hook_impl
    def before_node_run(self) -> None:
        """The plugin would log a node's parameters here; ours are logged when the run begins."""

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Note the datasets that the run uses."""
        if self._run is not None:
            logged.note_input(self._run, dataset_name, data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log pages, cards and the export."""
        if self._run is not None and self._catalog is not None:
            logged.note_input(self._run, dataset_name, data)
            logged.note_output(self._run, dataset_name, data, self._catalog)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run has done what it was asked."""
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """A node failed."""
        self._end("FAILED")

    def _end(self, status: Any) -> None:
        atexit.unregister(self._end)
        run, pump_, self._run, self._pump = self._run, self._pump, None, None
        if run is not None:
            run.end(status)
        if pump_ is not None:
            pump_.stop(LAST_SEND_S)
        self._open.close()
        if run is not None and pump_ is not None:
            self._console.print(where(pump_.link()))


def rank() -> int:
    """This process's rank where a launcher started several: only the first one tracks."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def where(link: str | None) -> str:
    """Return the sentence that says where the run can be seen."""
    if link is None:
        return "MLflow run waits here until MLflow answers: the next command sends it"
    return f"MLflow run: {link}{' (type mlflow ui in this folder first)' if link.startswith(UI) else ''}"


def pump(config: KedroMlflowConfig) -> Pump:
    """Return a sender to the configured store; the working directory is the project's folder."""
    return Pump(store_at(str(config.server.mlflow_tracking_uri), str(config.tracking.experiment.name)))


def send_left(project: Path) -> bool | None:
    """Send what commands left in their outboxes: True when all is sent, None when there was nothing."""
    from kedro.config import OmegaConfigLoader

    from allears.settings import CONFIG_LOADER_ARGS

    left = recover(OUTBOXES)
    if not left:
        return None
    loader = OmegaConfigLoader(str(project / "conf"), **CONFIG_LOADER_ARGS)
    config = KedroMlflowConfig.model_validate(loader["mlflow"])
    sender = pump(config)
    sender.start(left)
    return sender.stop(LAST_SEND_S)
