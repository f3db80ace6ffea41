from pathlib import Path

import pandas as pd

from allears.corpus.manifest import Manifest
from allears.datasets import ManifestDataset


def test_a_handle_survives_and_old_parts_stay(tmp_path: Path) -> None:
    folder = tmp_path / "manifest"
    folder.mkdir()
    for name in ("part-00000-old.parquet", "part-00000-new.parquet"):
        pd.DataFrame({"clip": [name]}).to_parquet(folder / name)
    dataset = ManifestDataset(filepath=str(tmp_path / "manifest.json"))
    assert not dataset.exists()
    manifest = Manifest(folder, ("part-00000-new.parquet",), 1, "digest", (2.5,), "parent")
    dataset.save(manifest)
    assert dataset.exists()
    assert dataset.load() == manifest
    assert len(list(folder.iterdir())) == 2
    assert dataset.preview()["data"] == [["part-00000-new.parquet"]]
