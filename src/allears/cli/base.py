"""`allears base`: public encoders that this project may continue, with their licence and origin."""

from __future__ import annotations

from pathlib import Path

import click

from allears.cli.project import DATA, enter_project
from allears.cli.sentences import sentences

_verbose = click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")


@click.group()
def base() -> None:
    """Public encoders to continue (wav2vec 2.0, HuBERT, Wav2Vec2-BERT): declare one, list them."""


@base.command("add")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--licence", required=True, help="Of the weights: an SPDX name (Apache-2.0 …) or LicenseRef-NAME.")
@click.option("--origin", required=True, help='"who, which revision, trained on what"; it is shown on every card.')
@click.option("--replace", is_flag=True, help="Replace a base of this name that has other files.")
@_verbose
def add_base(name: str, folder: Path, licence: str, origin: str, *, replace: bool, verbose: bool) -> None:
    """Declare the encoder in FOLDER (config.json and model.safetensors) as base NAME. The folder stays where it is."""
    with sentences(verbose=verbose):
        from allears.checkpoints.bases import declare_base, trained_on_unknown

        folder = folder.expanduser().resolve()
        enter_project()
        found = declare_base(DATA, name, folder, _allowed(licence), origin, replace=replace)
        heads = f"; left out, as heads: {', '.join(found.heads)}" if found.heads else ""
        click.echo(
            f"{found.name}: {found.family} encoder of {found.parameters / 1e6:.1f} M parameters, {found.licence}, "
            f"digest {found.digest[:12]}{heads}"
        )
        if sentence := trained_on_unknown(found.model_dump()):
            click.echo(sentence)
        click.echo(
            f"\nContinue it on recordings of your own\n  kedro run --pipeline pretrain --params "
            f"corpus=CORPUS,pretrain.init_from={name}\nor fine-tune it as it is\n  kedro run --pipeline finetune "
            f"--params corpus=CORPUS,finetune.encoder={name}"
        )


@base.command("list")
@_verbose
def list_bases(*, verbose: bool) -> None:
    """List the declared bases."""
    with sentences(verbose=verbose):
        from allears.checkpoints.bases import declared_bases

        enter_project()
        found = declared_bases(DATA)
        for each in found:
            click.echo(f"{each.name}: {each.family}, {each.licence}, {each.folder}\n    {each.origin}")
        if not found:
            click.echo("No base is declared yet: allears base add NAME FOLDER --licence SPDX --origin …")


def _allowed(licence: str) -> str:
    """Return the SPDX spelling of a licence that `audit.licences` allows; ConfigError otherwise."""
    from allears.audit.licences import check_weights
    from allears.corpus.licences import checked
    from allears.params.audit import LicenceParams
    from allears.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

    name = checked(licence, "--licence")
    loader = CONFIG_LOADER_CLASS("conf", None, {"corpus": "sample"}, **CONFIG_LOADER_ARGS)
    check_weights(name, LicenceParams.model_validate(loader["parameters"]["audit"]["licences"]))
    return name
