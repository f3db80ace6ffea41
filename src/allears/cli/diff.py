"""`allears diff`: what one version of a corpus has that another has not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from allears.cli.project import known_corpus
from allears.cli.sentences import sentences

if TYPE_CHECKING:
    from allears.audit.difference import Difference
    from allears.corpus.versions import Version

MOST_NAMES, MOST_GROUPS = 5, 12


@click.command()
@click.argument("corpus")
@click.argument("versions", nargs=-1, metavar="[V1] [V2]")
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def diff(corpus: str, versions: tuple[str, ...], *, as_json: bool, verbose: bool) -> None:
    """What came to CORPUS, went, changed its verdict, and which groups grew, from version V1 to V2.

    Versions are named by their first digits; by default the last two, with one name that one and the current one.
    """
    with sentences(verbose=verbose):
        from allears.audit.difference import difference

        paths = known_corpus(corpus)
        before, after = _named(corpus, versions)
        found = difference(paths, before, after)
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        else:
            _show(found, before, after, corpus)


def _named(corpus: str, names: tuple[str, ...]) -> tuple[Version, Version]:
    from allears.corpus.versions import current, find
    from allears.errors import ConfigError

    paths = known_corpus(corpus)
    if len(names) > 2:
        raise ConfigError(f"allears diff compares two versions, {len(names)} were named")
    now = current(paths)
    if names:
        return find(paths, names[0]), find(paths, names[1]) if len(names) == 2 else now
    if now.parent is None:
        raise ConfigError(f"corpus '{corpus}' has one version so far, {now.short}: there is nothing to compare")
    return find(paths, now.parent), now


def _show(found: Difference, before: Version, after: Version, corpus: str) -> None:
    from rich.table import Table

    from allears.reporting.terminal import console

    screen = console()
    screen.print(f"{corpus}: version {before.short} ({_extent(before)}) → {after.short} ({_extent(after)})")
    table = Table("clips", "number", "hours", "such as", title="What is different", title_justify="left", box=None)
    for name, rows in found.clips.items():
        table.add_row(name, f"{len(rows):,}", f"{rows['hours'].sum():.2f}", ", ".join(rows["clip"].head(MOST_NAMES)))
    screen.print(table)
    if found.verdicts is None:
        screen.print("Verdicts cannot be compared: one of the two was not audited.")
    elif found.verdicts.empty:
        screen.print("No clip that is in both has another verdict.")
    else:
        table = Table("was", "is", "clips", "reasons now", title="Verdicts", title_justify="left", box=None)
        for row in found.verdict_counts():
            table.add_row(*row)
        screen.print(table)
    table = Table("axis", "group", "hours", "", "change", title="Groups", title_justify="left", box=None)
    for axis, group, was, now in found.groups.head(MOST_GROUPS).itertuples(index=False, name=None):
        table.add_row(axis, group, f"{was:.2f}", f"→ {now:.2f}", f"{now - was:+.2f}")
    screen.print(table if table.rows else "No group has more or fewer hours.")
    if len(found.groups) > MOST_GROUPS:
        screen.print(f"… and {len(found.groups) - MOST_GROUPS} more groups: --json has them all")


def _extent(version: Version) -> str:
    gone = f", {version.withdrawn:,} withdrawn since" if version.withdrawn else ""
    return f"{version.rows:,} clips, {version.hours:.2f} h{gone}"
