"""The base of all parameter models and the folders a corpus lives in."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Frozen, keyword-only, no unknown keys: a typo in YAML or `--params` is an error before any node runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
