"""`allears add`, `keep`, `drop`, `doctor`, `status`, `run`; the steward's commands have files of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import click

from allears import __version__
from allears.cli.base import base
from allears.cli.diff import diff
from allears.cli.gc import gc
from allears.cli.page import open_page
from allears.cli.project import enter_project, lock_name, project_data
from allears.cli.sentences import sentences
from allears.cli.shards import shards
from allears.cli.trace import trace
from allears.cli.withdraw import withdraw
from allears.params.corpus import Layout


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-V")
def app() -> None:
    """From a pile of audio to an audited, pretrained and fine-tuned listening model.

    First `allears add`, then `kedro run --pipeline audit --params corpus=NAME`: it ends with the verdict, and `allears
    open NAME` shows its page.
    """


@app.command()
@click.argument("name")
@click.argument("path")
@click.option(
    "--licence",
    help="SPDX name (CC-BY-4.0 …) or LicenseRef-NAME; a clip's own holds beside it.",
)
@click.option("--layout", type=click.Choice(get_args(Layout)), help="Default: detected.")
@click.option("--label", help="The column that probes and fine-tuning learn.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def add(name: str, path: str, licence: str | None, layout: Layout | None, label: str | None, *, verbose: bool) -> None:
    """Remember the recordings in PATH, a folder or a bucket's URL, as corpus NAME; a second path is a second source."""
    with sentences(verbose=verbose):
        from allears.corpus.settings import remember
        from allears.params.base import Paths
        from allears.storage.bucket import typed_path
        from allears.storage.lock import locked

        place = typed_path(path)
        data = enter_project()
        with locked(data / ".locks" / f"{lock_name(name)}.lock", "allears add", f"corpus '{name}'"):
            settings = remember(
                Paths(corpus=name, data=data), name, path=place, layout=layout, licence=licence, label=label
            )
        for source in settings.sources:
            click.echo(f"{source.name}: {source.path} ({source.layout or 'layout detected'}, {source.licence})")
        click.echo(f"\nCorpus '{name}' is remembered. Now type\n  kedro run --pipeline pretrain --params corpus={name}")


def _decision(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that `keep` and `drop` share."""
    for option in (
        click.option("--verbose", "-v", is_flag=True, help="Show tracebacks."),
        click.option("--who", help="Who decides. Default: your user name."),
        click.option("--why", required=True, help="In a few words; it is shown on the audit's page."),
        click.argument("clip"),
        click.argument("corpus"),
    ):
        command = option(command)
    return command


@app.command()
@_decision
def keep(corpus: str, clip: str, why: str, who: str | None, *, verbose: bool) -> None:
    """Keep CLIP (its id or its file) of CORPUS whatever the policy says; hard reasons stay."""
    _decide(corpus, clip, "keep", why, who, verbose=verbose)


@app.command()
@_decision
def drop(corpus: str, clip: str, why: str, who: str | None, *, verbose: bool) -> None:
    """Leave CLIP (its id or its file) of CORPUS out of the selection."""
    _decide(corpus, clip, "drop", why, who, verbose=verbose)


def _decide(corpus: str, clip: str, decision: str, why: str, who: str | None, *, verbose: bool) -> None:
    with sentences(verbose=verbose):
        from allears.cli.overrides import decide
        from allears.params.base import Paths
        from allears.storage.lock import locked

        data = enter_project()
        with locked(data / ".locks" / f"{lock_name(corpus)}.lock", f"allears {decision}", f"corpus '{corpus}'"):
            click.echo(decide(Paths(corpus=corpus, data=data), clip, decision, why, who))


@app.command()
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def doctor(*, verbose: bool) -> None:
    """Check Python, ffmpeg, codecs, GPU, disk and MLflow: one line each, and what to do."""
    with sentences(verbose=verbose):
        from allears.cli.doctor import examine

        findings = examine(project_data())
        for finding in findings:
            click.echo(f"{'ok ' if finding.good else '!! '} {finding.what:<10} {finding.found}")
            if not finding.good:
                click.echo(f"               → {finding.advice}")
        if not all(finding.good or finding.optional for finding in findings):
            raise SystemExit(1)


@app.command()
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def status(*, verbose: bool) -> None:
    """Corpora, their versions, clips kept and hours, what is stale, and the last runs."""
    with sentences(verbose=verbose):
        from allears.cli.status import show

        show(enter_project())


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """The same as `kedro run`."""
    from allears.cli.command import run as kedro_run

    kedro_run.main(args=list(arguments), prog_name="allears run")


for command in (base, diff, gc, open_page, shards, trace, withdraw):
    app.add_command(command)
