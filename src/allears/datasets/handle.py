"""A JSON handle that need not be there yet: the node that asks for it knows better what to say then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from allears.storage.files import read_json, write_json


class OptionalHandleDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):  # type: ignore[misc]
    """Loads a JSON object, or an empty one when the file does not exist; saves it atomically.

    Fine-tuning on another corpus's encoder (`finetune.encoder`) does not need one of its own.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """The object, or {}."""
        return dict(read_json(self._filepath)) if self._filepath.exists() else {}

    def save(self, data: dict[str, Any]) -> None:
        """Replace the file."""
        write_json(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
