"""Kedro dataset classes where kedro-datasets has none."""

from allears.datasets.manifest import ManifestDataset

__all__ = ["ManifestDataset"]
