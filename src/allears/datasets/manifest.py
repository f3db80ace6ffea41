"""The manifest's handle as a Kedro dataset: a small JSON file that points at parquet parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from allears.corpus.manifest import Manifest
from allears.storage.files import read_json, write_json


class ManifestDataset(AbstractDataset[Manifest, Manifest]):  # type: ignore[misc]
    """Loads and saves `corpus.manifest.Manifest` as JSON; the parts lie where the handle says.

    Parts of earlier versions stay until `allears gc`.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Manifest:
        """The handle."""
        return Manifest.from_json(read_json(self._filepath))

    def save(self, data: Manifest) -> None:
        """Write the handle."""
        write_json(self._filepath, data.to_json())

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def preview(self, rows: int = 20) -> dict[str, Any]:
        """The first rows, for Kedro-Viz."""
        manifest = self.load()
        head = next(iter(manifest.iter_parts()), None)
        if head is None:
            return {}
        table: dict[str, Any] = head.head(rows).astype("string").fillna("").to_dict(orient="split")
        return table
