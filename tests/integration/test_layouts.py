"""Every layout through the real nodes of ingest: each row of the listing is a clip or in quarantine, archives too."""

from pathlib import Path

import pytest

from allears.corpus.manifest import clip_refs
from allears.corpus.opening import batches, decoded_clips
from allears.corpus.settings import remember
from allears.errors import AudioError
from allears.params.base import Paths
from allears.params.corpus import Layout
from allears.params.ingest import IngestParams
from allears.pipelines.ingest import nodes
from tests.unit.corpus.test_published import MINIATURES


@pytest.mark.parametrize("layout", MINIATURES)
def test_a_layout_becomes_clips_that_decode(tmp_path: Path, layout: Layout) -> None:
    root = MINIATURES[layout](tmp_path / "corpus")
    paths, params = Paths(corpus="mine", data=tmp_path / "data"), IngestParams(workers=1)
    settings = remember(paths, "mine", path=str(root), licence="CC0-1.0")
    sources = nodes.collect_sources(settings.model_dump(mode="json"), paths, params)
    assert sources[0]["layout"] == layout
    listing = nodes.read_layouts(sources, paths, params)
    manifest, quarantine = nodes.build_manifest(listing, nodes.probe_files(listing, paths, params), paths, params)
    assert manifest.rows + len(quarantine) == len(listing)
    assert len(quarantine) == (layout == "huggingface")  # the row that has neither bytes nor a file
    table = manifest.frame()
    found = dict(each for batch in batches(clip_refs(table)) for each in decoded_clips(batch))
    assert {ref.clip for ref in found} == set(table["clip"])
    seconds = 0.0
    for decoded in found.values():
        assert not isinstance(decoded, AudioError)
        seconds += len(decoded[0]) / decoded[1]
    declared = float((table["end_s"] - table["start_s"]).sum())
    assert seconds == pytest.approx(declared, abs=0.1 * len(table))
