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
        config.server.mlflow_tracking_uri = tracking_uri(str(config.server.mlflow_tracking_uri), self._project)
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
        self._pump = pump(self.mlflow_config, self._project)
        if set(names) & set(self.mlflow_config.tracking.disable_tracking.pipelines):
            self._pump.start(leftovers)
            return
        uid = uuid.uuid4().hex
        box = Outbox(OUTBOXES, uid)
        self._open.callback(box.close)
        tags = {"mlflow.user": user(), "mlflow.source.type": "LOCAL"}
        tags |= {"mlflow.source.name": "kedro run", **git_tags(self._project), **logged.run_tags(run_params, catalog)}
        atexit.register(self._end, "KILLED")  # Ctrl-C: Kedro calls no hook
        self._run = TrackedRun(box, uid, self.mlflow_config.tracking.run.name or run_name(names, tags), tags)
        self._run.params(logged.parameters(pipeline, catalog))
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
        sent = pump_ is not None and pump_.stop(LAST_SEND_S)
        self._open.close()
        if run is not None and pump_ is not None:
            where = f"{pump_.run_id()} at {pump_.uri}" if sent else "waits here until MLflow answers"
            self._console.print(f"MLflow run {where}")


def run_name(pipelines: list[str], tags: dict[str, str]) -> str:
    """`so762 pretrain`: the corpus, and the pipelines or 'all'."""
    what = "+".join("all" if name == "__default__" else name for name in pipelines)
    return f"{tags.get('corpus', '')} {what}".strip()


def rank() -> int:
    """This process's rank where a launcher started several: only the first one tracks."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def tracking_uri(uri: str, project: Path) -> str:
    """A relative SQLite file lies in the project, wherever the command was typed."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return f"{prefix}{project / uri.removeprefix(prefix)}"
    return uri


def pump(config: KedroMlflowConfig, project: Path) -> Pump:
    """A sender to the configured server. Artifacts of a local database lie in `mlruns/`, where `mlflow ui` looks."""
    uri = str(config.server.mlflow_tracking_uri)
    artifacts = (project / "mlruns").as_uri() if uri.startswith("sqlite:") else None
    return Pump(uri, str(config.tracking.experiment.name), artifacts)


def send_left(project: Path) -> bool | None:
    """Send what commands left in their outboxes: True when all is sent, None when there was nothing."""
    from kedro.config import OmegaConfigLoader

    from allears.settings import CONFIG_LOADER_ARGS

    left = recover(OUTBOXES)
    if not left:
        return None
    loader = OmegaConfigLoader(str(project / "conf"), **CONFIG_LOADER_ARGS)
    config = KedroMlflowConfig.model_validate(loader["mlflow"])
    config.server.mlflow_tracking_uri = tracking_uri(str(config.server.mlflow_tracking_uri), project)
    sender = pump(config, project)
    sender.start(left)
    return sender.stop(LAST_SEND_S)
