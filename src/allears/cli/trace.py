"""`allears trace`: one screen from the bytes of the source to the models that heard it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from allears.cli.project import DATA, enter_project, known_corpus
from allears.cli.sentences import sentences

SHOWN = 16  # hexadecimal digits
_KNOWN = ("split", "text", "label", "language", "accent", "gender", "age", "speaker", "session", "licence")


@click.command()
@click.argument("clip")
@click.option("--corpus", help="Where to look; default: everywhere.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def trace(clip: str, corpus: str | None, *, as_json: bool, verbose: bool) -> None:
    """Where CLIP came from, what was found, where it lies, and what has trained on it."""
    with sentences(verbose=verbose):
        from allears.cli.traced import corpus_of, trace_clip

        enter_project()
        paths = known_corpus(corpus) if corpus else corpus_of(DATA, clip)
        found = trace_clip(paths, clip)
        if as_json:
            click.echo(json.dumps(found, indent=1, ensure_ascii=False, default=str))
        else:
            _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from allears.reporting.terminal import console

    table = Table(title=found["clip"], show_header=False, title_justify="left", box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(found):
        table.add_row(name, text)
    console().print(table)


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    row, source, shard = found["row"], found["source"], found["shard"]
    inside = f", {source['member']} in it" if source["member"] else ""
    span = f"{row['start_s']:.2f} to {row['end_s']:.2f} s of {row['file_duration_s']:.2f} s"
    channel = "" if row["channel"] is None else f", channel {row['channel']}"
    known = ", ".join(f"{name} {row[name]}" for name in _KNOWN if row[name] is not None)
    lines = [
        ("Source", f"{source['file']}{inside}"),
        ("", f"{source['bytes']:,} bytes, sha256 {source['sha256'][:SHOWN]}…: {source['state']}"),
        (
            "Row",
            f"corpus {found['corpus']}, version {found['version'][:12]} (in {len(found['versions'])} kept versions)",
        ),
        ("", f"{span}{channel}; {row['codec']}, {row['sample_rate_hz']:,} Hz; delivery {row['delivery'] + 1}"),
        ("", known),
        ("Measures", _measures(found["measures"])),
        ("Verdict", _verdict(found["verdict"])),
        ("Selection", _selection(found["selection"])),
    ]
    if shard is None:
        lines.append(("Shard", "in none"))
    else:
        where = f"{Path(shard['tar']).name} of shards {shard['shards'][:12]}, bytes {shard['offset']:,} + "
        lines.append(("Shard", f"{where}{shard['length']:,}"))
        lines.append(("", f"{shard['samples']:,} samples, sha256 {shard['sha256'][:SHOWN]}…: {shard['state']}"))
    trained = [f"{one['kind']} {one['folder']}" + _sure(one) for one in found["trained"]] or ["nothing known"]
    if row["split"] != "train" and any(one["clips"] for one in found["trained"]):
        trained.append(f"it is in {row['split']} now: what these models do on it proves nothing")
    return [*lines, *(("Heard by" if i == 0 else "", text) for i, text in enumerate(trained))]


def _measures(values: dict[str, Any] | None) -> str:
    if values is None:
        return "not audited"
    shown = (f"{name} {value:g}" for name, value in values.items() if isinstance(value, float))
    failed = f"not decodable: {values['failed_message']}" if values.get("failed_reason") else ""
    return failed or ", ".join(shown)


def _verdict(values: dict[str, Any] | None) -> str:
    if values is None:
        return "not audited"
    like = f", like {values['duplicate_of']}" if values.get("duplicate_of") else ""
    aside = f"; set aside: {values['set_aside'].replace(',', ', ')}" if values["set_aside"] else ""
    reasons = f": {values['reasons'].replace(',', ', ')}" if values["reasons"] else ""
    return f"{values['verdict']}{reasons}{like}{aside}"


def _selection(values: dict[str, Any] | None) -> str:
    if values is None:
        return "not audited"
    return f"kept, {values['weight']:g} times an epoch" if values["keep"] else "left out of training"


def _sure(one: dict[str, Any]) -> str:
    return "" if one["clips"] else " (perhaps: its shards held the clip)"
