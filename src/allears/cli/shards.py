"""`allears shards`: what the tars hold, whether they are whole, one clip, fewer tars, and exports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allears.cli.project import corpus_for_ourselves, known_corpus
from allears.cli.sentences import sentences
from allears.errors import command, run_command

if TYPE_CHECKING:
    from allears.params.base import Paths
    from allears.shards.handle import ShardSet

MOST_SHOWN = 50
_verbose = click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
_as_json = click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
OPENED_BY = {
    "lhotse": 'CutSet.from_shar(in_dir="{}/train")',
    "nemo": "manifest_filepath={}/train_manifest.json",
    "hf": 'datasets.load_dataset("parquet", data_dir="{}")',
}


@click.group()
def shards() -> None:
    """What lies in the shards of a corpus: list, verify, look at, repack and export them."""


@shards.command("ls")
@click.argument("corpus")
@_as_json
@_verbose
def list_tars(corpus: str, *, as_json: bool, verbose: bool) -> None:
    """The tars of CORPUS as it is now: clips, hours, megabytes."""
    with sentences(verbose=verbose):
        from allears.shards.contents import contents, to_json

        shard_set = _shard_set(known_corpus(corpus))
        found = list(contents(shard_set))
        if as_json:
            click.echo(json.dumps(shard_set.to_json() | {"tars": [to_json(one) for one in found]}, indent=1))
            return
        rows = [(one.shard, one.clips, one.hours, one.megabytes) for one in found]
        total = ("in all", shard_set.clips, shard_set.seconds / 3600, sum(size or 0.0 for *_, size in rows))
        _show_table(f"{corpus}: shards {shard_set.digest[:12]} in {shard_set.folder}", [*rows, total])
        if lost := [one.shard for one in found if one.megabytes is None]:
            click.echo(f"{len(lost)} tars are missing. {_advice(corpus, lost)}")
        for line in copies_as_lines(known_corpus(corpus)):
            click.echo(line)


@shards.command()
@click.argument("corpus")
@_verbose
def verify(corpus: str, *, verbose: bool) -> None:
    """Read every clip of every tar of CORPUS and compare it with the index; what is damaged is named."""
    with sentences(verbose=verbose):
        from allears.shards.checking import check_shards

        shard_set = _shard_set(known_corpus(corpus))
        found = list(check_shards(shard_set))
        if not found:
            hours = shard_set.seconds / 3600
            click.echo(f"All {shard_set.clips:,} clips ({hours:.2f} h) are as they were written.")
            return
        for one in found[:MOST_SHOWN]:
            click.echo(str(one))
        if len(found) > MOST_SHOWN:
            click.echo(f"… and {len(found) - MOST_SHOWN} more")
        tars = list(dict.fromkeys(one.shard for one in found))
        click.echo(f"{len(found)} findings in {len(tars)} tars. {_advice(corpus, tars)}")
        raise SystemExit(1)


@shards.command()
@click.argument("corpus")
@click.argument("key")
@click.option("--out", help="Write its FLAC to this file; - is stdout.")
@_as_json
@_verbose
def cat(corpus: str, key: str, out: str | None, *, as_json: bool, verbose: bool) -> None:
    """What the shards of CORPUS know of the clip KEY; with --out its audio."""
    with sentences(verbose=verbose):
        from allears.shards.contents import facts, place_of, read_table
        from allears.shards.reader import ShardReader
        from allears.storage.files import write_bytes

        target = Path(out).absolute() if out and out != "-" else None
        paths = known_corpus(corpus)
        with ShardReader(_shard_set(paths)) as reader:
            place = place_of(reader.index, key, corpus)
            known = facts(reader.shard_set, reader.index, read_table(paths.clips, reader.index), place)
            flac = reader.flac(place) if out else b""
        if out == "-":
            sys.stdout.buffer.write(flac)
            return
        if target is not None:
            write_bytes(target, flac)
        if as_json:
            click.echo(json.dumps(known, indent=1, ensure_ascii=False))
        else:
            _show_facts(known)
            click.echo(f"Its FLAC is in {target}" if target else "--out FILE writes its FLAC")


@shards.command()
@click.argument("corpus")
@click.option("--target-mb", type=click.FloatRange(min=0, min_open=True), help="Default: as the shards were written.")
@click.option("--min-shards", type=click.IntRange(min=1), help="Leave so many tars. Default: the same.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_verbose
def repack(corpus: str, target_mb: float | None, min_shards: int | None, *, dry_run: bool, verbose: bool) -> None:
    """Merge small tars of CORPUS, as many small deliveries and withdrawals leave them.

    Nothing is decoded, and labels go with their clips. The shards are another version then: batches are drawn tar by
    tar, so the next training plans anew. Killed, it is finished by the same command or by the next run of the shard
    pipeline.
    """
    with sentences(verbose=verbose):
        from allears.cli import repacking

        paths = known_corpus(corpus)
        with corpus_for_ourselves(paths, "allears shards repack"):
            done = repacking.repack(paths, target_mb, min_shards, only_say=dry_run)
        if done.tars_after == done.tars_before:
            click.echo(f"There is nothing to merge: {done.tars_before} tars, no two neighbours of which fit into one.")
        elif dry_run:
            click.echo(f"{done.tars_before} tars would become {done.tars_after}; nothing was changed")
        else:
            click.echo(
                f"{done.tars_before} tars are now {done.tars_after}: shards {done.before.digest[:12]} became "
                f"{done.after.digest[:12]}, with the same clips in the same order"
            )


@shards.command()
@click.argument("corpus")
@click.option("--to", required=True, type=click.Choice(["lhotse", "nemo", "hf"]), help="For which toolkit.")
@click.option("--out", type=click.Path(file_okay=False), help="An empty or a new folder. Default: the corpus's own.")
@click.option("--all", "everything", is_flag=True, help="What the audit leaves out of training, too.")
@_verbose
def export(corpus: str, to: Any, out: str | None, *, everything: bool, verbose: bool) -> None:
    """Write the selected clips of CORPUS for another toolkit, with all that is known of them; audio byte by byte.

    lhotse: Shar; nemo: manifests and FLAC files; hf: parquet for Hugging Face. Killed, the same command goes on.
    """
    with sentences(verbose=verbose):
        from allears.shards.export.places import OWN
        from allears.shards.export.run import export as export_to

        outside = Path(out).absolute() if out else None
        paths = known_corpus(corpus)
        with corpus_for_ourselves(paths, "allears shards export"):
            folder = outside or paths.shards.absolute() / OWN / to
            shard_set = _shard_set(paths)
            done = export_to(
                shard_set, paths.clips, to, folder, everything=everything, outside_of=paths.shards if outside else None
            )
        parts = ", ".join(f"{name} {clips:,}" for name, clips in done["splits"].items())
        click.echo(f"{done['clips']:,} clips ({parts}), {done['hours']:.2f} h, are in {folder}")
        click.echo(f"  {OPENED_BY[to].format(folder)}")


@shards.command()
@click.argument("corpus")
@click.argument("url")
@_verbose
def copy(corpus: str, url: str, *, verbose: bool) -> None:
    """Copy the shards of CORPUS to URL (s3://bucket/folder, or whatever fsspec writes), to train from there.

    What is there and the same is not copied again; what has left the shards is dropped there. Killed, the same command
    goes on. A withdrawal renews all copies. Labels and the table of clips stay here.
    """
    with sentences(verbose=verbose):
        from allears.shards.copies import copy_shards, noted
        from allears.shards.handle import stored_shards
        from allears.storage.bucket import is_url, typed_path
        from allears.storage.portable import portable

        place = typed_path(url)
        paths = known_corpus(corpus)
        place = place if is_url(place) else str(portable(place))
        with corpus_for_ourselves(paths, "allears shards copy"):
            known = any(one.url == place for one in noted(paths.shards))
            shard_set = stored_shards(paths.shards) if known else _shard_set(paths)
            done = copy_shards(paths.shards, shard_set, place)
        if shard_set is None:
            click.echo(f"{corpus} has no shards any more: {done.dropped} files were dropped at {place}")
            return
        whole = place if is_url(place) else str(Path(place).absolute())
        click.echo(
            f"{place} holds the shards of {corpus}: {done.put} of {done.files} files copied now "
            f"({done.megabytes:,.1f} MB), {done.dropped} dropped there\n"
            f"  {run_command('pretrain', {'corpus': corpus, 'pretrain.shards_from': whole})}"
        )


def copies_as_lines(paths: Paths, otherwise: str = "No training reads it") -> list[str]:
    """Where copies of the shards lie, and what to type where one is of others."""
    from allears.shards.copies import noted
    from allears.shards.handle import stored_shards

    now = stored_shards(paths.shards)
    return [
        f"The copy at {one.url} is of these shards."
        if now and one.shards == now.digest
        else f"The copy at {one.url} is of other shards, or half copied. {otherwise} until you type: "
        f"{command('allears', 'shards', 'copy', paths.corpus, one.url)}"
        for one in noted(paths.shards)
    ]


def _shard_set(paths: Paths) -> ShardSet:
    from allears.errors import StaleError
    from allears.shards.handle import stored_shards

    found = stored_shards(paths.shards)
    if found is None:
        command = f"kedro run --pipeline shard --params corpus={paths.corpus}"
        raise StaleError(f"corpus '{paths.corpus}' has no shards yet: run `{command}`")
    return found


def _advice(corpus: str, tars: list[str]) -> str:
    named = ", ".join(tars)
    return (
        f"Delete {named} where it is there, and run `kedro run --pipeline shard --params corpus={corpus}`: it writes "
        "from the recordings what is missing, and nothing else. Damage that comes again is the disk's"
    )


def _show_table(title: str, rows: list[tuple[str, int, float, float | None]]) -> None:
    from rich.table import Table

    from allears.reporting.terminal import console

    table = Table(title=title, title_justify="left", box=None)
    table.add_column("tar", no_wrap=True)
    for name in ("clips", "hours", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, clips, hours, size in rows:
        table.add_row(name, f"{clips:,}", f"{hours:,.2f}", "missing" if size is None else f"{size:,.1f}")
    console().print(table)


def _show_facts(known: dict[str, Any]) -> None:
    from rich.table import Table

    from allears.reporting.terminal import console

    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in known.items():
        if value is not None:
            table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    console().print(table)
