"""Public encoders that a project has declared as bases: whose they are, under which licence, and their digest.

A base stays in its folder; the project keeps one small file about it. It is never copied, and checked before each use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from allears.checkpoints.heard import NAME as HEARD
from allears.checkpoints.known import CONFIG, WEIGHTS
from allears.errors import ConfigError, StaleError, StorageError, nearest
from allears.params.base import Base
from allears.params.corpus import is_name
from allears.storage.digest import file_digest, value_digest
from allears.storage.files import read_json, write_json

PREPROCESSOR = "preprocessor_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def declare_base(data: Path, name: str, folder: Path, licence: str, origin: str) -> Base:
    """Check the encoder in `folder`, and keep what is said of it under `name`; returns the base.

    `licence` is an SPDX name that the caller has checked. ConfigError or StorageError for what cannot be a base:
    pickles, remote code, missing or extra weights, a model that no family here computes.
    """
    from allears.checkpoints.export import load_export, read_weights
    from allears.models.build import left_over

    if not is_name(name):
        raise ConfigError(f"'{name}' cannot be the name of a base: use lower-case letters, digits, - and _")
    if not origin.strip():
        raise ConfigError("--origin is empty; say who made the model, which revision it is, and what it was trained on")
    _check_safe(folder)
    encoder = load_export(folder)
    extra, heads = left_over(read_weights(folder / WEIGHTS), encoder)
    if extra:
        raise ConfigError(
            f"{folder / WEIGHTS} has weights that allears does not compute, such as {', '.join(extra[:3])} "
            f"({len(extra)} in all): the encoder would not be the one that was published"
        )
    base = Base(
        name=name, folder=folder.absolute(), licence=licence, origin=" ".join(origin.split()),
        digest=_digest(folder), family=encoder.config.family, heads=tuple(heads),
        parameters=sum(each.numel() for each in encoder.parameters()), knows_heard=(folder / HEARD).exists(),
    )  # fmt: skip
    write_json(_file(data, name), base.model_dump(mode="json"))
    return base


def find_base(data: Path, name: str, key: str) -> Base:
    """Return a declared base whose files are as they were. `key`, a parameter, is named in errors.

    ConfigError lists the bases there are; StaleError for one that has moved or changed since it was declared.
    """
    if not _file(data, name).exists():
        known = [base.name for base in declared_bases(data)]
        raise ConfigError(
            f"{key} is '{name}', which is no declared base{nearest(name, known) or '.'} Declared: "
            f"{', '.join(known) or 'none is declared yet'}. Declare one with "
            f'`allears base add {name} FOLDER --licence SPDX --origin "who, which revision, trained on what"`'
        )
    base = _read(_file(data, name))
    again = f"declare it again: allears base add {name} FOLDER --licence {base.licence} --origin …"
    if not (base.folder / WEIGHTS).exists():
        raise StaleError(f"base '{name}' is not in {base.folder} any more; put it back there, or {again}")
    if (found := _digest(base.folder)) != base.digest:
        raise StaleError(
            f"base '{name}' in {base.folder} has changed since it was declared (digest {found[:12]}, then "
            f"{base.digest[:12]}); put the files back, or {again}"
        )
    return base


def declared_bases(data: Path) -> list[Base]:
    """Return all bases of the project, by name."""
    return [_read(file) for file in sorted(_file(data, "x").parent.glob("*.json"))]


def trained_on_unknown(base: Mapping[str, Any]) -> str:
    """Return the sentence that stands wherever test speakers are protected; '' for a base that lists what it used."""
    if base["knows_heard"]:
        return ""
    return (
        f"The weights continue {base['name']}; what that was trained on is unknown beyond its origin, so it may have "
        "used speakers of dev and test."
    )


def base_in_words(base: Mapping[str, Any]) -> str:
    """Return name, licence, origin and digest, for a card."""
    return f"{base['name']}, {base['licence']}, digest `{base['digest'][:12]}`: {base['origin']}"


def _check_safe(folder: Path) -> None:
    if not folder.is_dir():
        raise StorageError(f"{folder} is not a folder; name the folder that holds {CONFIG} and {WEIGHTS}")
    config = read_json(folder / CONFIG)
    if "auto_map" in config or list(folder.glob("*.py")):
        raise ConfigError(
            f"{folder} brings code of its own (auto_map in {CONFIG}, or .py files), which allears never runs; use a "
            "model that transformers itself has"
        )
    if not (folder / WEIGHTS).exists():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        if pickles:
            raise ConfigError(
                f"{folder} holds its weights as {pickles[0]}, a pickle, which can run code when it is opened; fetch "
                f"the same model as {WEIGHTS}, or convert it where you trust it (transformers: "
                "AutoModel.from_pretrained(…).save_pretrained(…))"
            )
        raise StorageError(f"{folder} has no {WEIGHTS}; expected the folder of a model in one safetensors file")
    file = folder / PREPROCESSOR
    if file.exists() and read_json(file).get("do_normalize") is False:
        raise ConfigError(
            f"{file} has do_normalize=false, and allears always normalises the samples of each clip: the encoder would "
            "get other input than it was trained on"
        )


def _digest(folder: Path) -> str:
    return value_digest([file_digest(folder / CONFIG), file_digest(folder / WEIGHTS)])


def _file(data: Path, name: str) -> Path:
    return data / "06_models" / "_bases" / f"{name}.json"


def _read(file: Path) -> Base:
    try:
        return Base.model_validate(read_json(file))
    except ValidationError as error:
        found = error.errors()[0]["msg"]
        raise StorageError(f"{file} is not what allears wrote ({found}); declare the base again") from error
