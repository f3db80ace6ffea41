"""Kedro dataset classes where kedro-datasets has none."""

from allears.datasets.handle import OptionalHandleDataset
from allears.datasets.manifest import ManifestDataset

__all__ = ["ManifestDataset", "OptionalHandleDataset"]
