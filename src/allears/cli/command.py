"""`kedro run` and `allears run`: Kedro's own command, whose errors end as sentences."""

from __future__ import annotations

import warnings
from copy import copy
from inspect import signature
from pathlib import Path
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework import project
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project, load_obj

from allears.checkpoints.bases import check_declared
from allears.cli.needs import Asked
from allears.cli.project import DATA
from allears.cli.sentences import sentences
from allears.cli.typed import split_params
from allears.errors import ConfigError, nearest
from allears.params.base import Paths

AT_ONCE = ("ParallelRunner", "ThreadRunner")  # of Kedro: they run several steps at once
RUNNERS = ("SequentialRunner",)
# Options of `kedro run` that name a part of a pipeline.
PARTIAL = (
    "tags",
    "node_names",
    "from_nodes",
    "to_nodes",
    "from_inputs",
    "to_outputs",
    "namespaces",
    "only_missing_outputs",
)


class RunCommand(click.Command):
    """Kedro's `run` with `-v`."""

    def make_context(self, info_name: str | None, args: list[str], *parents: Any, **extra: Any) -> click.Context:
        """Read the command line; what Kedro finds wrong in it is said as click says it."""
        try:
            return super().make_context(info_name, args, *parents, **extra)
        except KedroCliError as error:
            raise click.UsageError(error.message) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run it inside `sentences`."""
        verbose = bool(ctx.params.pop("verbose", False))
        # `--pipeline` is what our users type; its successor is no better for one name.
        warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
        with sentences(verbose=verbose):
            if project.PACKAGE_NAME is None:
                bootstrap()
            check_names(ctx.params)
            check_runner(ctx.params)
            do_first(ctx.params)
            return super().invoke(ctx)


def bootstrap() -> None:
    """Set Kedro up for the project that the working directory lies in."""
    folder = find_kedro_project(Path.cwd())
    if folder is None:
        raise ConfigError(
            f"{Path.cwd()} lies in no allears project (a folder with pyproject.toml and conf/). "
            "Change into the folder that you cloned and run the command again"
        )
    bootstrap_project(folder)


def check_names(params: dict[str, Any]) -> None:
    """A pipeline that does not exist: the valid ones and the nearest."""
    from allears.pipeline_registry import PARTS

    for name in [*([params["pipeline"]] if params.get("pipeline") else []), *(params.get("pipelines") or [])]:
        if name not in PARTS:
            raise ConfigError(
                f"there is no pipeline '{name}'{nearest(name, PARTS) or '.'} Valid are {', '.join(PARTS)}"
            )


def check_runner(params: dict[str, Any]) -> None:
    """Raise ConfigError for a runner that does not exist, runs steps at once, or does not take its parameters."""
    name = params.get("runner") or "SequentialRunner"
    try:
        runner = load_obj(name, "kedro.runner")
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"--runner: there is no '{name}'; use one of {', '.join(RUNNERS)}") from error
    if runner.__name__ in AT_ONCE:
        raise ConfigError(
            f"--runner {name}: steps run one after the other here, and each uses all cores by itself "
            "(engine.workers=N sets how many, engine.kind=ray takes a cluster): leave --runner out"
        )
    try:
        signature(runner).bind(**(params.get("runner_params") or {}))
    except TypeError as error:
        taken = ", ".join(signature(runner).parameters)
        raise ConfigError(f"--runner-params: {name} {error}; it takes {taken}") from error


def do_first(params: dict[str, Any]) -> None:
    """Add to the named pipelines what they need and is not made yet, and print it. A part of a pipeline that is named
    by nodes, tags or data runs alone.
    """
    asked = [params["pipeline"]] if params.get("pipeline") else list(params.get("pipelines") or [])
    if not asked or "__default__" in asked or any(params.get(name) for name in PARTIAL):
        return
    from allears.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

    project_path = find_kedro_project(Path.cwd()) or Path.cwd()
    conf = params.get("conf_source") or str(project_path / "conf")
    loader = CONFIG_LOADER_CLASS(conf, params.get("env"), params["params"], **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    if not isinstance(parameters.get("corpus"), str):
        return  # refused, with a sentence, when Kedro builds the context
    paths = Paths(corpus=parameters["corpus"], data=project_path / DATA)
    encoder = (parameters.get("finetune") or {}).get("encoder")
    if "pretrain" in asked and (base := (parameters.get("pretrain") or {}).get("init_from")):
        check_declared(paths.data, str(base), "pretrain.init_from")  # not after hours of ingesting
    first = Asked(pipelines=tuple(asked), paths=paths, given=params["params"], encoder=encoder).missing()
    if first:
        click.echo(f"{', '.join(asked)} of corpus {paths.corpus} needs first: {', '.join(first)}", err=True)
        params["pipeline"], params["pipelines"] = None, [*first, *asked]


_verbose = click.Option(["--verbose", "-v"], is_flag=True, help="Show tracebacks.")
_options = {option.name: copy(option) for option in kedro_run.params}
_options["params"].callback = split_params
run = RunCommand(
    name="run",
    callback=kedro_run.callback,
    params=[*_options.values(), _verbose],
    help="Run a pipeline on a corpus. What it needs and is not made yet is made first.",
)


@click.group(name="allears")
def cli() -> None:
    """Commands of this project."""


cli.add_command(run)
