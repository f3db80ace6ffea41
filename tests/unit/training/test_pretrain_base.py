"""A public encoder continued: its weights at first, frozen blocks, rates by block, and the way back from a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from allears.checkpoints.bases import declare_base
from allears.checkpoints.export import CONFIG, load_export
from allears.checkpoints.steps import CHECKPOINTS, step_file
from allears.checkpoints.training_state import load_state
from allears.errors import StaleError
from allears.models.build import config_of
from allears.params.base import Base
from allears.params.pretrain import PretrainParams
from allears.process.events import read_events
from allears.storage.files import read_json
from allears.training import pretrain
from allears.training.module import build_optimiser
from tests.pretraining import make_spec, tiny
from tests.public import save_wav2vec2
from tests.support import make_shards


@pytest.fixture
def base(tmp_path: Path) -> Base:
    save_wav2vec2(tmp_path / "public", num_hidden_layers=3, hidden_dropout=0.1)
    return declare_base(tmp_path / "data", "acme", tmp_path / "public", "MIT", "ACME, trained on audiobooks")


def continued(base: Base, **changes: Any) -> PretrainParams:
    """Tiny parameters with the encoder of the base."""
    config = config_of(read_json(base.folder / CONFIG))
    values = {"objective": "wav2vec2", "init_from": "acme", "objectives": {"wav2vec2": {"codes": 8, "code_width": 8}}}
    params = tiny(**values | changes)
    return params.model_copy(update={"encoder": "waveform", "encoders": params.encoders | {"waveform": config}})


def test_the_encoder_begins_with_the_weights_of_the_base(base: Base) -> None:
    encoder = pretrain.new_objective(continued(base), base).exports()["encoder"]
    expected = load_export(base.folder).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())
    assert all(each.requires_grad for each in encoder.parameters())


def test_frozen_blocks_stay_and_the_rest_learns_and_a_killed_run_goes_on(base: Base, tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=30)
    params = continued(base, frozen_blocks=2, updates=6, checkpoint_every=3)
    whole = make_spec(shards, tmp_path / "whole", params, base=base)
    pretrain.run(whole)
    last = step_file(whole.folder / CHECKPOINTS, 6)
    (told,) = [event["values"] for event in read_events(whole.folder) if event["kind"] == "params"]
    assert told["base"]["licence"] == "MIT"
    assert told["base"]["origin"] == "ACME, trained on audiobooks"
    frozen = [
        name for name in load_export(base.folder).state_dict() if name.startswith(("extractor", "blocks.0", "pos"))
    ]
    held = load_state(last)["state_dict"]
    assert not [name for name in held if name.removeprefix("objective.encoder.") in frozen]
    before = load_export(base.folder).state_dict()
    after = pretrain.trained_objective(params, last, base).exports()["encoder"].state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("blocks.2", "mask_embedding")) for name in changed)

    last.unlink()  # as if it had been killed before the last checkpoint
    (whole.folder / "receipt.json").unlink()
    pretrain.run(whole)
    resumed = load_state(last)["state_dict"]
    assert resumed.keys() == held.keys()
    assert all(torch.equal(value, held[name]) for name, value in resumed.items())


def test_a_base_that_changed_after_planning_is_not_trained_on(base: Base, tmp_path: Path) -> None:
    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", continued(base), base=base)
    (base.folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(StaleError, match=r"base 'acme' .* has changed since"):
        pretrain.run(spec)


def test_rates_fall_block_by_block_from_the_top(base: Base) -> None:
    params = continued(base, optimiser={"layer_decay": 0.5})
    objective = pretrain.new_objective(params, base)
    names = {each: name for name, each in objective.named_parameters()}
    scales = {
        names[each]: group["scale"]
        for group in build_optimiser(objective, params.optimiser).param_groups
        for each in group["params"]
    }
    assert scales.keys() == set(names.values())
    expected = {
        "encoder.blocks.2.": 0.5,
        "encoder.blocks.1.": 0.25,
        "encoder.blocks.0.": 0.125,
        "encoder.extractor": 0.125,
    }
    for name, scale in scales.items():
        found = next((value for start, value in expected.items() if name.startswith(start)), None)
        if name.startswith(("encoder.mask", "quantizer", "context", "target")):
            found = 1.0
        assert found is None or scale == found, name


def test_a_run_scales_its_rates(base: Base, tmp_path: Path) -> None:
    """With a tiny decay the lowest weights hardly move, and the heads as much as ever."""
    shards = make_shards(tmp_path / "shards", clips=30)
    params = continued(base, updates=3, optimiser={"layer_decay": 1e-3})
    spec = make_spec(shards, tmp_path / "run", params, base=base)
    pretrain.run(spec)
    before = pretrain.new_objective(params, base).state_dict()
    after = pretrain.trained_objective(params, step_file(spec.folder / CHECKPOINTS, 3), base).state_dict()

    def moved(name: str) -> float:
        return float((after[name] - before[name]).abs().mean())

    assert moved("context_projection.weight") > 100 * moved("encoder.blocks.1.inner.weight") > 0


def test_frozen_new_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pretrain\.init_from"):
        tiny(frozen_blocks=1)
