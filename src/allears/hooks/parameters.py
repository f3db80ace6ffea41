"""Wrong parameters end as a sentence: which key, what was found, what is allowed, and the nearest valid name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from allears.errors import ConfigError, nearest
from allears.storage.bucket import is_url

# Top-level key → the model that checks what is below it.
MODELS = {
    "ingest": "allears.params.ingest:IngestParams",
    "audit": "allears.params.audit:AuditParams",
    "policies": "allears.params.policy:Policies",
    "shard": "allears.params.shard:ShardParams",
    "pretrain": "allears.params.pretrain:PretrainParams",
    "finetune": "allears.params.finetune:FinetuneParams",
    "evaluate": "allears.params.evaluate:EvaluateParams",
    "engine": "allears.params.engine:EngineParams",
    "cost": "allears.params.cost:CostParams",
}
PLAIN = ("corpus", "paths")  # `paths` follows from `corpus`
MAX_SHOWN = 5


def check_parameters(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise ConfigError when a parameter is unknown or has a value that its model refuses.

    `parameters` are all, as merged by Kedro; `given` those of `--params`.
    """
    valid = [*PLAIN, *MODELS]
    for key in parameters:
        if key not in valid:
            raise ConfigError(
                f"parameter '{key}' is not known{nearest(key, valid) or '.'} Valid are {', '.join(valid)}"
            )
    if "paths" in given:
        raise ConfigError("'paths' cannot be set: the folders follow from 'corpus'. Type --params corpus=NAME")
    if not isinstance(parameters.get("corpus"), str):
        raise ConfigError(f"corpus: expected a name, found {parameters.get('corpus')!r}. Type --params corpus=NAME")
    models: dict[str, Any] = {}
    for key, location in MODELS.items():
        model = load_model(location)
        try:
            models[key] = model.model_validate(parameters.get(key, {}))
        except ValidationError as error:
            raise ConfigError(sentences(key, model, error)) from error
    from allears.audit.policy import check

    check(models["policies"].chosen(models["audit"].policy), models["audit"])
    _check_places(models["pretrain"].shards_from)
    if (country := models["cost"].country) is not None:
        from allears.process.energy import carbon_intensity

        with suppress(ImportError):  # without codecarbon no energy is measured, and a country is of no use
            carbon_intensity(country)


def _check_places(urls: Sequence[str]) -> None:
    for each in urls:
        if not is_url(each) and not Path(each.removeprefix("file://")).expanduser().is_absolute():
            raise ConfigError(
                f"pretrain.shards_from names {each}, which is neither a URL nor an absolute path: a training may run "
                "in another folder or on another machine. Give s3://bucket/folder or /the/whole/path"
            )


def load_model(location: str) -> type[BaseModel]:
    """The model class behind `module:Class`."""
    module, _, name = location.partition(":")
    model: type[BaseModel] = getattr(import_module(module), name)
    return model


def is_text(key: str) -> bool:
    """Return whether the parameter `a.b.c` takes a text: the corpus, or a field of type str, or str and null."""
    first, *rest = key.split(".")
    if first not in MODELS:
        return first == "corpus" and not rest
    types = _flat(load_model(MODELS[first]))
    for part in rest:
        types = [found for each in types for found in _below(each, part)]
    return set(types) - {type(None)} == {str}


def _below(annotation: Any, part: str) -> list[Any]:
    """The types of the field `part` of a model, or of the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _below(annotation.model_fields["root"].annotation, part)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return _flat(field.annotation) if field else []
    if get_origin(annotation) in (dict, Mapping):
        return _flat(get_args(annotation)[1])
    return []


def _flat(annotation: Any) -> list[Any]:
    """The members of a union, without what `Annotated` adds."""
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _flat(each)]
    return [annotation]


def sentences(prefix: str, model: type[BaseModel], error: ValidationError) -> str:
    """One line a wrong value, for example `ingest.limit: expected an integer, found 'x'`."""
    details = error.errors(include_url=False)
    lines = [_sentence(prefix, model, detail) for detail in details[:MAX_SHOWN]]
    if len(details) > MAX_SHOWN:
        lines.append(f"… and {len(details) - MAX_SHOWN} more")
    return "\n".join(lines)


def _sentence(prefix: str, model: type[BaseModel], detail: ErrorDetails) -> str:
    where = [part for part, _ in itertools.groupby(str(part) for part in detail["loc"])]  # pydantic repeats tags
    key = ".".join([prefix, *where])
    if detail["type"] == "extra_forbidden":
        siblings = _fields(model, where[:-1])
        group = ".".join([prefix, *where[:-1]])
        hint = nearest(where[-1], siblings) or "."
        return f"parameter '{key}' is not known{hint} Valid under '{group}': {', '.join(siblings)}"
    if detail["type"] == "missing":
        return (
            f"parameter '{key}' is missing; give it in conf/base/parameters_{prefix}.yml or with --params {key}=VALUE"
        )
    if detail["type"] == "value_error":  # written by a model's own check: it names keys and values itself
        return str(detail["msg"]).removeprefix("Value error, ")
    expected = str(detail["msg"]).removeprefix("Input should be ")
    if detail["type"] in ("tuple_type", "list_type"):
        expected = f"a list such as [{detail['input']}]" if detail["input"] is not None else "a list (none: [])"
    return f"{key}: expected {expected}, found {detail['input']!r}"


def _fields(model: type[BaseModel], where: list[str]) -> list[str]:
    """Names of the fields of the model that lies at `where` below `model` (a union's: those of all its members)."""
    models: list[type[BaseModel]] = [model]
    for part in where:
        inner: list[type[BaseModel]] = []
        for candidate in models:
            if issubclass(candidate, RootModel):  # names that people choose, each with a model
                inner += _models(candidate.model_fields["root"].annotation)
            elif part in candidate.model_fields:
                inner += _models(candidate.model_fields[part].annotation)
        inner = inner or models  # list indices name no field
        models = [member for member in inner if _is_tagged(member, part)] or inner
    return list(dict.fromkeys(name for candidate in models for name in candidate.model_fields))


def _is_tagged(model: type[BaseModel], name: str) -> bool:
    """Return whether the model is the member of a union that is called `name`."""
    annotations = (field.annotation for field in model.model_fields.values())
    return any(get_origin(each) is Literal and get_args(each) == (name,) for each in annotations)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
