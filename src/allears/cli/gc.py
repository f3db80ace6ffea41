"""`allears gc`: remove what nothing uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allears.cli.project import DATA, corpus_for_ourselves, enter_project, known_corpus
from allears.cli.sentences import sentences

if TYPE_CHECKING:
    from allears.corpus.waste import Waste
    from allears.params.base import Paths


@click.command()
@click.argument("corpus", required=False)
@click.option("--yes", "-y", is_flag=True, help="Remove it; without this, only say what would go.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")
def gc(corpus: str | None, *, yes: bool, verbose: bool) -> None:
    """Remove versions and labels of CORPUS (default: of all) that neither it nor a run or model uses, and what killed
    commands left half-written.

    Tars that nothing uses go by themselves: `shard` and `allears withdraw` remove them.
    Runs and models themselves stay, and with them the versions that they were trained on: delete a run's folder first.
    """
    with sentences(verbose=verbose):
        from allears.corpus.settings import known_corpora
        from allears.corpus.waste import remove
        from allears.params.corpus import SAMPLE

        enter_project()
        total = 0
        for name in [corpus] if corpus else [SAMPLE, *known_corpora(DATA)]:
            paths = known_corpus(name)
            with corpus_for_ourselves(paths, "allears gc"):
                found = _find(paths)
                for one in found:
                    click.echo(f"{one.size_bytes:>14,} bytes  {one.path}  ({one.why})")
                if yes and found:
                    remove(paths, found)
                total += sum(one.size_bytes for one in found)
        said = "removed" if yes else "would be removed; --yes removes them"
        click.echo(f"{total:,} bytes {said}" if total else "Nothing to remove.")


def _find(paths: Paths) -> list[Waste]:
    from allears.checkpoints.trained import shards_of
    from allears.corpus.waste import unused, waste_of

    specs = list(_specs(paths))
    handle = _read(paths.shards / "shards.json")
    shards = {digest for spec in specs for digest in shards_of(spec)} | ({str(handle["digest"])} if handle else set())
    labels = {str(spec["targets"].get("folder")) for spec in specs if "targets" in spec}
    labels |= {str(_read(paths.features / "targets.json").get("folder"))}
    kept = {Path(folder).name for folder in labels}
    old = [folder for folder in sorted(paths.features.glob("units/*")) if folder.name not in kept]
    return [*unused(paths, shards), *waste_of(old, "labels that no run uses")]


def _specs(paths: Paths) -> Iterator[dict[str, Any]]:
    """What runs of any corpus were told, as far as they used this corpus's shards."""
    for file in sorted((paths.data / "06_models").glob("*/*/*/spec.json")):
        spec = _read(file)
        if spec.get("shard_set"):
            yield spec


def _read(file: Path) -> dict[str, Any]:
    from allears.storage.files import read_json

    return dict(read_json(file)) if file.exists() else {}
