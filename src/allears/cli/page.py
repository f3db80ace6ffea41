"""`allears open`: the audit's page of a corpus in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser

import click

from allears.cli.project import known_corpus
from allears.cli.sentences import sentences


@click.command("open")
@click.argument("corpus")
@click.option("--print", "only_print", is_flag=True, help="Only print where the page is.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def open_page(corpus: str, *, only_print: bool, verbose: bool) -> None:
    """Open the audit's page of CORPUS; without a browser, print where it is."""
    with sentences(verbose=verbose):
        from allears.cli.stages import is_fresh
        from allears.errors import CorpusError

        paths = known_corpus(corpus)
        page = (paths.reports / "audit.html").absolute()
        make = f"  kedro run --pipeline audit --params corpus={corpus}"
        if not page.exists():
            raise CorpusError(
                f"corpus '{corpus}' has no page yet: it was not audited, or its page was deleted. Type\n{make}"
            )
        click.echo(page)
        if not is_fresh(paths, "audit"):
            click.echo(f"It shows an earlier version of the corpus. For a new one type\n{make}")
        if not only_print and not (_has_screen() and webbrowser.open(page.as_uri())):
            click.echo(
                "No browser could be opened here: open that file in one, or copy it with its folder audit_files."
            )


def _has_screen() -> bool:
    """Return whether a browser can show a page: on Linux without a display, one in the terminal would open instead."""
    shown_by = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in shown_by)
