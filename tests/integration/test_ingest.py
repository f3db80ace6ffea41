"""The ingest pipeline through Kedro, with its own catalog and parameters; on real corpora where they are present."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from allears.corpus.manifest import Manifest
from allears.corpus.settings import remember
from allears.params.base import Paths
from allears.params.ingest import IngestParams
from allears.pipelines.ingest.pipeline import create_pipeline
from tests.real import REAL, needs_real
from tests.unit.corpus import miniatures

ROOT = Path(__file__).parents[2]


def run_ingest(tmp_path: Path, corpus: str, **given: Any) -> tuple[Manifest, pd.DataFrame, dict[str, Any]]:
    """Run the pipeline as Kedro would, with everything below `tmp_path`."""
    paths = Paths(corpus=corpus, data=tmp_path / "data")
    remember(paths, corpus, **given)
    config = OmegaConfigLoader(
        conf_source=str(ROOT / "conf"), base_env="base", default_run_env="smoke", runtime_params={"corpus": corpus},
        config_patterns={"catalog": ["catalog_ingest*"], "parameters": ["parameters_ingest*"]},
        merge_strategy={"parameters": "soft"},
    )  # fmt: skip
    names = create_pipeline().datasets()
    entries = {name: entry for name, entry in config["catalog"].items() if name in names}
    for entry in entries.values():
        if "filepath" in entry:
            entry["filepath"] = str(tmp_path / entry["filepath"])
    catalog = DataCatalog.from_config(entries)
    catalog["params:paths"] = paths
    catalog["params:ingest"] = IngestParams.model_validate(config["parameters"]["ingest"])
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog.load("manifest"), catalog.load("quarantine"), {"sources": catalog.load("sources")}


def test_every_entry_of_the_catalog_is_used_and_every_output_is_in_it() -> None:
    config = OmegaConfigLoader(conf_source=str(ROOT / "conf"), base_env="base", default_run_env="base")
    pipeline = create_pipeline()
    entries = {name for name in config["catalog"] if name in pipeline.datasets()}
    assert pipeline.all_outputs() <= entries
    assert {name for name in pipeline.inputs() if not name.startswith("params:")} == {"corpus_settings"} <= entries


def test_the_small_sample_goes_the_way_of_all_corpora(tmp_path: Path) -> None:
    manifest, quarantine, _ = run_ingest(tmp_path, "sample")
    table = manifest.frame()
    assert manifest.rows + len(quarantine) > 90
    assert quarantine.empty
    assert set(table["split_origin"]) == {"given"}
    assert table["speaker"].nunique() == 12
    assert {"CC0-1.0", "CC-BY-NC-ND-4.0 AND CC0-1.0", "unknown AND CC0-1.0"} == set(table["licence"])
    again, _, _ = run_ingest(tmp_path, "sample")
    assert again == manifest


def test_two_sources_of_one_corpus_are_one_manifest(tmp_path: Path) -> None:
    miniatures.kaldi(tmp_path / "one")
    miniatures.audiofolder(tmp_path / "two")
    run_ingest(tmp_path, "both", path=str(tmp_path / "one"), licence="CC0-1.0")
    manifest, _, notes = run_ingest(tmp_path, "both", path=str(tmp_path / "two"), licence="CC-BY-4.0")
    assert [source["layout"] for source in notes["sources"]] == ["kaldi", "audiofolder"]
    assert manifest.rows == 8
    assert set(manifest.frame()["licence"]) == {"CC0-1.0", "CC-BY-4.0"}


@needs_real
@pytest.mark.parametrize(
    ("corpus", "rows", "groups", "label"),
    [("speechocean762", 2500, 125, None), ("fsdd", 3000, 6, "digit"), ("esc10", 192, 192, "folder")],
)
def test_real_corpora_are_accounted_for(tmp_path: Path, corpus: str, rows: int, groups: int, label: str | None) -> None:
    manifest, quarantine, notes = run_ingest(tmp_path, corpus, path=str(REAL / corpus), licence=f"LicenseRef-{corpus}")
    table = manifest.frame()
    assert (manifest.rows, len(quarantine)) == (rows, 0)
    assert table["group"].nunique() == groups
    assert set(table["split"]) == {"train", "dev", "test"}
    assert not table.groupby("group")["split"].nunique().gt(1).any()
    assert (label or "no column is a label") in notes["sources"][0]["why"]
    assert table["label"].isna().all() == (label is None)
