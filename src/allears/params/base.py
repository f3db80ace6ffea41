"""The base of all parameter models and the folders a corpus lives in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from allears.errors import nearest

Accelerator = Literal["auto", "cpu", "gpu"]
Precision = Literal["auto", "32", "bf16-mixed"]


class Params(BaseModel):
    """Frozen, keyword-only, no unknown keys: a typo in YAML or `--params` is an error before any node runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Base(Params):
    """A public encoder that is continued: its folder, licence, origin, digest (of configuration and weights).

    `heads`: weights in its file that are no part of the encoder and are left out. `lists_speakers`: its folder lists
    the speakers and clips that it was trained on, as exports of allears do, and so does every base before it, which
    `earlier` names.
    """

    name: str
    folder: Path
    licence: str
    origin: str
    digest: str
    family: str
    parameters: int
    heads: tuple[str, ...] = ()
    lists_speakers: bool = False
    earlier: str = ""


class Paths(Params):
    """Where a corpus lives: `<data>/<layer>/<corpus>`, Kedro's layers."""

    corpus: str
    data: Path = Path("data")

    def _layer(self, name: str) -> Path:
        return self.data / name / self.corpus

    @property
    def raw(self) -> Path:
        """Sources that allears itself made (the sample) and what is remembered of the corpus (`corpus.json`)."""
        return self._layer("01_raw")

    @property
    def intermediate(self) -> Path:
        """Manifest, quarantine and their journals."""
        return self._layer("02_intermediate")

    @property
    def primary(self) -> Path:
        """Measures, verdicts, selection."""
        return self._layer("03_primary")

    @property
    def features(self) -> Path:
        """Sidecars: unit models and labels."""
        return self._layer("04_feature")

    @property
    def shards(self) -> Path:
        """Shards and their index."""
        return self._layer("05_model_input")

    @property
    def clips(self) -> Path:
        """The table of clips that trainings read, in the order of the shards."""
        return self.shards / "clips.parquet"

    @property
    def models(self) -> Path:
        """Checkpoints and exports."""
        return self._layer("06_models")

    @property
    def outputs(self) -> Path:
        """Probe and fine-tuning results."""
        return self._layer("07_model_output")

    @property
    def reports(self) -> Path:
        """Pages and documents."""
        return self._layer("08_reporting")


def members(union: Any, tag: str) -> dict[str, Any]:
    """Return the models of a union by the only value that their field `tag` allows: the one list of such names."""
    if get_origin(union) is Annotated:
        union = get_args(union)[0]
    models = get_args(union) or (union,)
    return {get_args(model.model_fields[tag].annotation)[0]: model for model in models}


def tagged(key: str, values: Any, union: Any, tag: str) -> Any:
    """Return settings by name, each with its name under `tag`, and the defaults of the members that are not given.

    ValueError, which names `key`, for a name that is none of the union's.
    """
    if not isinstance(values, Mapping):
        return values
    for name in values:
        known(key, name, members(union, tag))
    empty: dict[str, Any] = {name: {} for name in members(union, tag)}
    return {
        name: {tag: name, **value} if isinstance(value, Mapping) else value
        for name, value in (empty | dict(values)).items()
    }


def known(key: str, value: str, names: Iterable[str]) -> str:
    """Return `value` when it is one of `names`; ValueError, which names the key and the valid ones, otherwise."""
    valid = list(names)
    if value not in valid:
        raise ValueError(f"{key}: expected one of {', '.join(valid)}, found {value!r}{nearest(value, valid) or '.'}")
    return value
