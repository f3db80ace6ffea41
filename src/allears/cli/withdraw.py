"""`allears withdraw`: a speaker, a clip or a file goes, from everything that was made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from allears.cli.project import corpus_for_ourselves, known_corpus
from allears.cli.sentences import sentences
from allears.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from allears.params.base import Paths


@click.command()
@click.argument("corpus")
@click.option("--speaker", help="All clips of this speaker.")
@click.option("--clip", help="This clip, by its id.")
@click.option("--file", help="All clips of this file, by its path (whole, or below the source's folder).")
@click.option("--source", help="Of this source alone, where several have such a name.")
@click.option("--why", default="", help="Kept with the tombstone; no names here.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def withdraw(
    corpus: str, speaker: str | None, clip: str | None, file: str | None, source: str | None, why: str, *, yes: bool,
    verbose: bool,
) -> None:  # fmt: skip
    """Take a speaker, a clip or a file out of CORPUS, for good: from plans, shards, pages, tables and caches.

    A digest stays that refuses it when it is delivered again. Models that had trained on it are named. Recordings are
    never deleted: the command says which ones you must delete.
    """
    with sentences(verbose=verbose):
        from allears.cli import withdrawal
        from allears.cli.told import show_done, show_plan
        from allears.corpus.withdrawal import Kind

        given: dict[Kind, str | None] = {"speaker": speaker, "clip": clip, "file": file}
        asked = {kind: name for kind, name in given.items() if name}
        if len(asked) != 1:
            said = f"{' and '.join(f'--{kind}' for kind in asked)} were given" if asked else "none was given"
            raise ConfigError(f"say what to withdraw with one of --speaker, --clip and --file; {said}")
        [(kind, name)] = asked.items()
        name = str(Path(name).expanduser().absolute()) if kind == "file" and Path(name).exists() else name
        paths = known_corpus(corpus)
        with corpus_for_ourselves(paths, "allears withdraw"):
            if (left := withdrawal.finish(paths)) is not None:
                click.echo("An earlier withdrawal was interrupted; it is finished now:")
                show_done(left)
                _show_copies(paths)
            try:
                found = withdrawal.prepare(paths, kind, name, source, why)
            except CorpusError as error:
                if left is None:
                    raise
                click.echo(f"Nothing else is withdrawn. Unless it was this one: {error}")
                return
            show_plan(found)
            if not yes:
                click.confirm("Withdraw this for good?", abort=True)
            withdrawal.begin(paths, found)
            withdrawal.finish(paths)
            show_done(found)
            _show_copies(paths)
        _send()


def _show_copies(paths: Paths) -> None:
    from allears.cli.shards import copies_as_lines

    for line in copies_as_lines(paths, "It may hold what was withdrawn"):
        click.echo(line)


def _send() -> None:
    from allears.hooks.mlflow import send_left

    if send_left(Path.cwd()) is False:
        click.echo("MLflow does not answer: its tags wait here, and the next kedro run sends them.")
    else:
        click.echo("MLflow: runs and models that had used it carry the tag allears.withdrawn.")
