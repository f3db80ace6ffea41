"""Public encoders that a project has declared as bases, with their licence, origin and digest.

A base stays in its folder; the project keeps one small file about it. It is never copied, and checked before each use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from allears.checkpoints.heard import NAME as HEARD
from allears.checkpoints.known import CONFIG, PROVENANCE, WEIGHTS
from allears.errors import ConfigError, StaleError, StorageError, nearest
from allears.params.base import Base
from allears.params.corpus import is_name
from allears.storage.digest import file_digest, value_digest
from allears.storage.files import read_json, write_json

PREPROCESSOR = "preprocessor_config.json"
RATE_HZ = 16000
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def declare_base(data: Path, name: str, folder: Path, licence: str, origin: str, *, replace: bool = False) -> Base:
    """Check the encoder in `folder` and record it under `name`; returns the base.

    `licence` is an SPDX name that the caller has checked. Another base of that name is kept unless `replace`.
    ConfigError or StorageError for what cannot be a base: pickles, remote code, missing or extra weights, a model that
    no family here computes.
    """
    from allears.checkpoints.export import load_export, read_weights
    from allears.models.build import left_over

    if not is_name(name):
        raise ConfigError(f"'{name}' cannot be the name of a base: use lower-case letters, digits, - and _")
    if not origin.strip():
        raise ConfigError("--origin is empty; say who made the model, which revision it is, and what it was trained on")
    if any((data / layer / name).exists() for layer in ("01_raw", "02_intermediate", "06_models")):
        raise ConfigError(f"'{name}' is a corpus of this project; give the base another name")
    _check_safe(folder)
    encoder = load_export(folder)
    extra, heads = left_over(read_weights(folder / WEIGHTS), encoder)
    if extra:
        raise ConfigError(
            f"{folder / WEIGHTS} has weights that allears does not compute, such as {', '.join(extra[:3])} "
            f"({len(extra)} in all): the encoder would not be the one that was published"
        )
    digest, before = base_digest(folder), base_before(folder)
    if _file(data, name).exists() and not replace and (known := _read(_file(data, name))).digest != digest:
        raise ConfigError(
            f"base '{name}' is declared already, in {known.folder} with digest {known.digest[:12]} (this one has "
            f"{digest[:12]}): choose another name, or replace it with --replace; runs that continue it can then not be "
            "extended"
        )
    lists_speakers = (folder / HEARD).exists() and (before is None or bool(before["lists_speakers"]))
    base = Base(
        name=name, folder=folder.absolute(), licence=licence, origin=" ".join(origin.split()),
        digest=digest, family=encoder.config.family, heads=tuple(heads),
        parameters=sum(each.numel() for each in encoder.parameters()), lists_speakers=lists_speakers,
        earlier=base_in_words(before) if before else "",
    )  # fmt: skip
    write_json(_file(data, name), base.model_dump(mode="json"))
    return base


def check_declared(data: Path, name: str, key: str) -> None:
    """Raise ConfigError, which lists the bases there are, when none of this name is declared. `key` is a parameter."""
    if not _file(data, name).exists():
        known = [base.name for base in declared_bases(data)]
        raise ConfigError(
            f"{key} is '{name}', which is no declared base{nearest(name, known) or '.'} Declared: "
            f"{', '.join(known) or 'none is declared yet'}. Declare one with "
            f'`allears base add {name} FOLDER --licence SPDX --origin "who, which revision, trained on what"`'
        )


def find_base(data: Path, name: str, key: str) -> Base:
    """Return a declared base whose files are as they were. `key`, a parameter, is named in errors.

    ConfigError for a name that is not declared; StaleError for a base that has moved or changed since it was declared.
    """
    check_declared(data, name, key)
    base = _read(_file(data, name))
    again = f"declare it again: allears base add {name} FOLDER --licence {base.licence} --origin …"
    check_unchanged(base, again)
    return base


def check_unchanged(base: Base, cure: str = "declare it again") -> None:
    """Raise StaleError when the files of a base are gone or not those that were declared; `cure`: what else to do."""
    if not all((base.folder / file).exists() for file in (CONFIG, WEIGHTS)):
        raise StaleError(f"base '{base.name}' is not in {base.folder} any more; put it back there, or {cure}")
    if (found := base_digest(base.folder)) != base.digest:
        raise StaleError(
            f"base '{base.name}' in {base.folder} has changed since it was declared (digest {found[:12]}, then "
            f"{base.digest[:12]}); put the files back, or {cure}"
        )


def base_before(folder: Path) -> dict[str, Any] | None:
    """Return the record of the public base that an export of allears continues, itself or through earlier runs."""
    file = folder / PROVENANCE
    return base_of(read_json(file)) if file.exists() else None


def base_of(provenance: object) -> dict[str, Any] | None:
    """Return the record of the public base in a provenance, or in those of the runs and encoders that it names."""
    if not isinstance(provenance, Mapping):
        return None
    if isinstance(provenance.get("base"), Mapping):
        return dict(provenance["base"])
    return base_of(provenance.get("extends")) or base_of(provenance.get("encoder"))


def disclosed(base: Base) -> dict[str, Any]:
    """Return what is published of a base: not where it lies here."""
    return base.model_dump(mode="json", exclude={"heads", "folder"})


def declared_bases(data: Path) -> list[Base]:
    """Return all bases of the project, by name."""
    return [_read(file) for file in sorted(_file(data, "x").parent.glob("*.json"))]


def trained_on_unknown(base: Mapping[str, Any], how: str = "The weights continue") -> str:
    """Return the sentence that stands wherever test speakers are protected; '' for a base that lists its speakers."""
    if base["lists_speakers"]:
        return ""
    return (
        f"{how} {base['name']}; what that was trained on is unknown beyond its origin, so it may have used speakers of "
        "dev and test."
    )


def unknown_speakers(provenance: Mapping[str, Any]) -> list[str]:
    """Return such sentences for the base that a run continues and the one that its units are of; the same base once."""
    base, of_units = base_of(provenance), (provenance.get("units") or {}).get("base")
    found = [trained_on_unknown(base)] if base else []
    if of_units and of_units != base:
        found.append(trained_on_unknown(of_units, "The units are of"))
    return [sentence for sentence in found if sentence]


def base_in_words(base: Mapping[str, Any]) -> str:
    """Return name, licence, origin and digest, for a card."""
    earlier = f"; it continues {base['earlier']}" if base.get("earlier") else ""
    return f"{base['name']}, {base['licence']}, digest `{base['digest'][:12]}`: {base['origin']}{earlier}"


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
        if (folder / f"{WEIGHTS}.index.json").exists():
            raise ConfigError(
                f"{folder} holds its weights in several files; expected one {WEIGHTS} (transformers: "
                "save_pretrained(…, max_shard_size='100GB'))"
            )
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        if pickles:
            raise ConfigError(
                f"{folder} holds its weights as {pickles[0]}, a pickle, which can run code when it is opened; fetch "
                f"the same model as {WEIGHTS}, or convert it where you trust it (transformers: "
                "AutoModel.from_pretrained(…).save_pretrained(…))"
            )
        raise StorageError(f"{folder} has no {WEIGHTS}; expected the folder of a model in one safetensors file")
    file = folder / PREPROCESSOR
    settings = read_json(file) if file.exists() else {}
    if (rate_hz := settings.get("sampling_rate", RATE_HZ)) != RATE_HZ:
        raise ConfigError(
            f"{file} has sampling_rate={rate_hz}; encoders here take {RATE_HZ} Hz, and get no other audio"
        )
    if settings.get("do_normalize") is False:
        raise ConfigError(
            f"{file} has do_normalize=false, and allears always normalises the samples of each clip: the encoder would "
            "get other input than it was trained on"
        )


def base_digest(folder: Path) -> str:
    """Return the digest of all files that a base is used by."""
    files = [folder / name for name in (CONFIG, WEIGHTS, PREPROCESSOR, HEARD, PROVENANCE)]
    return value_digest([file_digest(file) if file.exists() else None for file in files])


def _file(data: Path, name: str) -> Path:
    return data / "06_models" / "_bases" / f"{name}.json"


def _read(file: Path) -> Base:
    try:
        return Base.model_validate(read_json(file))
    except ValidationError as error:
        found = error.errors()[0]["msg"]
        raise StorageError(f"{file} is not what allears wrote ({found}); declare the base again") from error
