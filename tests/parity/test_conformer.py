"""Our Conformer against transformers' Wav2Vec2BertModel: tiny ours, tiny theirs, one set of weights."""

import pytest
import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC, Wav2Vec2BertModel

from allears.models.conformer.interop import (
    config_from_transformers,
    config_to_transformers,
    from_transformers,
    to_transformers,
)
from allears.models.conformer.model import ConformerEncoder
from allears.params.model import ConformerConfig, LogMelConfig
from allears.types import Padded

POSITIONS = ["rotary", "relative_key"]
FRAMES = torch.tensor([23, 9, 17])


def tiny(positions):
    return ConformerConfig(
        log_mel=LogMelConfig(stack=2), width=16, blocks=2, heads=2, ffn_width=24, kernel_frames=5,
        positions=positions, left_frames=6, right_frames=3,
    )  # fmt: skip


def theirs_of(config, seed=0):
    torch.manual_seed(seed)
    model = Wav2Vec2BertModel(Wav2Vec2BertConfig(**config_to_transformers(config))).eval()
    with torch.no_grad():  # norms and biases start at one and zero: draw them, or a swapped pair would go unnoticed
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def ours_of(config, theirs):
    encoder = ConformerEncoder(config).eval()
    encoder.load_state_dict(from_transformers(theirs.state_dict(), config))
    return encoder


def run_theirs(model, features, frames, mask=None):
    attention = (torch.arange(features.shape[1]) < frames[:, None]).long()
    return model(features, attention_mask=attention, mask_time_indices=mask, output_hidden_states=True)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_every_layer_equals_transformers_on_a_padded_batch(positions, masked):
    config = tiny(positions)
    theirs = theirs_of(config)
    features = torch.randn(3, 23, 160, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(3, 23, generator=torch.Generator().manual_seed(2)) < 0.5 if masked else None
    with torch.no_grad():
        expected = run_theirs(theirs, features, FRAMES, mask)
        found = ours_of(config, theirs).encode(Padded(features, FRAMES), mask)
    assert len(found.layers) == len(expected.hidden_states) == config.blocks + 1
    for mine, other in zip(found.layers, expected.hidden_states, strict=True):
        for row, count in enumerate(FRAMES.tolist()):
            torch.testing.assert_close(mine[row, :count], other[row, :count], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.last_BFD[0], expected.last_hidden_state[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
def test_gradients_equal_those_of_transformers(positions):
    config = tiny(positions)
    theirs = theirs_of(config)
    ours = ours_of(config, theirs)
    features = torch.randn(2, 23, 160, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(2, 23, 16, generator=torch.Generator().manual_seed(2))
    weights[1, 9:] = 0.0  # what padding gives is nobody's business
    (run_theirs(theirs, features, FRAMES[:2]).last_hidden_state * weights).sum().backward()
    (ours.encode(Padded(features, FRAMES[:2])).last_BFD * weights).sum().backward()
    expected = from_transformers(
        {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in theirs.named_parameters()},
        config,
    )
    for name, parameter in ours.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("positions", POSITIONS)
def test_weights_and_configuration_survive_the_way_there_and_back(positions):
    config = tiny(positions)
    theirs = theirs_of(config)
    back = to_transformers(from_transformers(theirs.state_dict(), config), config)
    assert back.keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(back[name], value), name
    assert config_from_transformers(config_to_transformers(config)) == config
    foreign = theirs.config.to_dict()
    del foreign["allears"]
    assert config_from_transformers(foreign) == config


def test_a_fine_tuned_checkpoint_of_transformers_gives_its_encoder():
    config = tiny("relative_key")
    values = config_to_transformers(config) | {"vocab_size": 5}
    tuned = Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**values))
    ours = from_transformers(tuned.state_dict(), config)
    expected = from_transformers(tuned.wav2vec2_bert.state_dict(), config)
    assert ours.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in ours.items())
