"""What `allears withdraw` says, before and after."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from allears.corpus.mirror import addresses
from allears.corpus.withdrawal import Withdrawal
from allears.reporting.terminal import console
from allears.storage.bucket import is_url

MOST_FILES = 20


def show_plan(found: Withdrawal) -> None:
    """What will go."""
    screen = console()
    table = Table(title=f"To be withdrawn from {found.corpus}", show_header=False, title_justify="left", box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Clips", f"{len(found.clips):,}: {', '.join(found.clips[:5])}{' …' if len(found.clips) > 5 else ''}")
    table.add_row("Audio", f"{found.seconds:,.1f} s in the corpus as it is now")
    table.add_row("Groups", f"{', '.join(found.groups[:5])} would be gone" if found.groups else "none would be gone")
    table.add_row("Versions", f"{len(found.versions)} of the corpus hold some of it")
    table.add_row("Shards", f"{len(found.tar_keys)} tars are written again without it, from their own bytes")
    table.add_row("Deleted", "all pages of the corpus (the next run makes them again) and what caches know of it")
    screen.print(table)
    _show_trained(found)
    for hint in found.hints:
        screen.print(f"Mind {hint}.", soft_wrap=True)


def show_done(found: Withdrawal) -> None:
    """What was done, and what is left to people."""
    screen = console()
    screen.print(
        f"Withdrawn from {found.corpus}: {len(found.clips):,} clips. They are in no manifest, table, shard, page or "
        "cache of it any more, and are refused when they are delivered again.",
        soft_wrap=True,
    )
    _show_trained(found)
    address = addresses()
    files = {
        address(Path(root) / path) + (f" ({member})" if member else ""): Path(root) / path
        for root, path, member in found.files
    }
    there = sorted(name for name, file in files.items() if file.exists() or is_url(name))
    if there:
        screen.print(
            f"Your recordings are not touched. Delete these {len(there)} yourself, and their lines in the tables of "
            "their source:",
            soft_wrap=True,
        )
        for file in there[:MOST_FILES]:
            screen.print(f"  {file}", soft_wrap=True)
        if len(there) > MOST_FILES:
            screen.print(f"  … and {len(there) - MOST_FILES} more")
    screen.print(f"Plans, pages and models as they should be now: kedro run --params corpus={found.corpus}")


def _show_trained(found: Withdrawal) -> None:
    screen = console()
    if not found.heard:
        screen.print("No run or model of this project is known to have trained on it.")
        return
    table = Table("what", "corpus", "clips heard", "folder", title="Had trained on it", title_justify="left", box=None)
    for one in found.heard:
        clips = "perhaps: its shards held some" if one["clips"] is None else str(one["clips"])
        table.add_row(one["kind"], one["corpus"], clips, one["folder"], style=None)
    screen.print(table)
