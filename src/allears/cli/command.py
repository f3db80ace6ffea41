"""`kedro run` and `allears run`: Kedro's own command, whose errors end as sentences."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework import project
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from allears.cli.sentences import sentences
from allears.errors import ConfigError, nearest


class RunCommand(click.Command):
    """Kedro's `run` with `-v`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it inside `sentences`."""
        verbose = bool(ctx.params.pop("verbose", False))
        # `--pipeline` is what our users type; its successor is no better for one name.
        warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
        with sentences(verbose=verbose):
            if project.PACKAGE_NAME is None:
                bootstrap()
            check_names(ctx.params)
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


_verbose = click.Option(["--verbose", "-v"], is_flag=True, help="Show tracebacks.")
run = RunCommand(
    name="run", callback=kedro_run.callback, params=[*kedro_run.params, _verbose], help="Run a pipeline on a corpus."
)


@click.group(name="allears")
def cli() -> None:
    """Commands of this project."""


cli.add_command(run)
