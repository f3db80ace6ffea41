"""An export folder in transformers' hands: AutoFeatureExtractor + AutoModel hear what ours hears."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel

from allears.checkpoints.export import load_export, save_export
from allears.models.build import build_encoder
from allears.models.conformer.interop import usage
from allears.params.model import ConformerConfig, LogMelConfig
from tests.parity.test_log_mel import clip, padded

# Features differ by up to 1e-2 in quiet bins (float32 spectrum here, float64 there); about 1e-4 is usual.
TOLERANCE = 1e-3


def encoder_of(stack, positions):
    config = ConformerConfig(
        log_mel=LogMelConfig(stack=stack), width=16, blocks=2, heads=2, ffn_width=24, kernel_frames=5,
        positions=positions,
    )  # fmt: skip
    return build_encoder(config, seed=3).eval()


@pytest.mark.parametrize("positions", ["rotary", "relative_key"])
@pytest.mark.parametrize("stack", [2, 4])
def test_transformers_hears_what_ours_hears(tmp_path, stack, positions):
    encoder = encoder_of(stack, positions)
    folder = save_export(
        tmp_path / "run", {"encoder": encoder}, {"data_digest": "0" * 64, "licences": ["CC0-1.0"]}, "# A card"
    )
    clips = [clip(16000, 0), clip(9999, 1), clip(12345, 2)]
    extractor, model = AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = extractor(clips, sampling_rate=16000, pad_to_multiple_of=stack, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**inputs).last_hidden_state
        ours = load_export(folder)(padded(clips))
        before = encoder(padded(clips))
    assert ours.frames_B.tolist() == inputs["attention_mask"].sum(1).tolist()
    assert torch.equal(ours.last_BFD, before.last_BFD)
    for row, count in enumerate(ours.frames_B.tolist()):
        assert (ours.last_BFD[row, :count] - theirs[row, :count]).abs().max() <= TOLERANCE


def test_the_card_explains_loading_with_code_that_runs(tmp_path):
    encoder = encoder_of(4, "rotary")
    folder = save_export(tmp_path / "run", {"encoder": encoder}, {"licences": ["CC0-1.0"]}, "# A card")
    card = (folder / "README.md").read_text()
    assert card.startswith("# A card")
    assert usage(encoder.config) in card
    code = card.split("```python\n")[1].split("```")[0]
    names = {"folder": folder, "audio": np.zeros(16000, np.float32)}
    exec(code, names)  # noqa: S102
    assert names["frames"].shape == (1, 25, 16)
    assert json.loads((folder / "provenance.json").read_text()) == {"licences": ["CC0-1.0"]}
