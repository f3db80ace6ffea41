"""What every encoder family keeps. A new one is tested by being listed in `AnyEncoderConfig`."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from allears.models.build import build_encoder, config_of, publish, weights_of
from allears.types import Padded
from tests.contract.small import ENCODERS, LENGTHS, Waiting, audio, small

EACH = pytest.mark.parametrize("family", ENCODERS)


def encoder_of(family, seed=0):
    return build_encoder(small(ENCODERS[family]), seed).eval()


@EACH
@torch.no_grad()
def test_every_layer_has_the_frames_that_the_configuration_counts(family):
    encoder = encoder_of(family)
    output = encoder(audio())
    config = encoder.config
    assert len(output.layers) == config.blocks + 1
    assert output.frames_B.tolist() == [config.frames(length) for length in LENGTHS]
    assert output.last_BFD.shape == (3, max(output.frames_B), config.width)
    assert all(layer_BFD.shape == output.last_BFD.shape for layer_BFD in output.layers)
    assert config.frame_rate_hz == config.sample_rate_hz / config.hop_samples
    assert abs(config.frames(10 * config.sample_rate_hz) - 10 * config.frame_rate_hz) <= 2


@EACH
@pytest.mark.parametrize("beyond", [0.0, float("nan")])
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone_whatever_the_padding(family, beyond):
    encoder = encoder_of(family)
    together = encoder(audio(beyond=beyond))
    for row, length in enumerate(LENGTHS):
        alone = encoder(Padded(audio().data[row : row + 1, :length], torch.tensor([length]), full=True))
        count = int(alone.frames_B)
        for mine, other in zip(together.layers, alone.layers, strict=True):
            torch.testing.assert_close(mine[row, :count], other[0, :count], rtol=0, atol=1e-4)


@EACH
@torch.no_grad()
def test_hidden_frames_are_hidden(family):
    encoder = encoder_of(family)
    features = encoder.features(audio((16000,)))
    mask_BF = torch.zeros(1, encoder.config.frames(16000), dtype=torch.bool)
    mask_BF[0, 5:9] = True
    hidden, seen = encoder.encode(features, mask_BF), encoder.encode(features)
    assert not torch.allclose(hidden.last_BFD, seen.last_BFD)
    if encoder.cacheable_features:
        other = features.data.clone()
        other[0, 5:9] = 7.0
        assert torch.equal(
            encoder.encode(Padded(other, features.lengths_B, full=True), mask_BF).last_BFD, hidden.last_BFD
        )


@EACH
@torch.no_grad()
def test_the_lowest_blocks_are_a_shorter_encoder(family):
    encoder = encoder_of(family)
    shorter = encoder.truncated(1).eval()
    assert shorter.config.blocks == 1
    torch.testing.assert_close(shorter(audio()).layers[1], encoder(audio()).layers[1])
    assert list(encoder.lowest(0)) == []
    sizes = [len(list(encoder.lowest(blocks))) for blocks in range(1, encoder.config.blocks + 1)]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= len(list(encoder.parameters()))


@EACH
@torch.no_grad()
def test_what_is_published_comes_back(family):
    encoder = encoder_of(family, seed=5)
    published = publish(encoder)
    assert config_of(published.config) == encoder.config
    again = encoder_of(family, seed=6)
    again.load_state_dict(weights_of(published.weights, encoder.config))
    assert torch.equal(again(audio()).last_BFD, encoder(audio()).last_BFD)
    assert published.usage.startswith("## ")


@EACH
def test_weights_depend_on_the_seed_alone(family):
    torch.manual_seed(1)
    first = encoder_of(family, 7).state_dict()
    torch.manual_seed(2)
    second, third = encoder_of(family, 7).state_dict(), encoder_of(family, 8).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert any(not torch.equal(value, third[name]) for name, value in first.items())


@EACH
@pytest.mark.parametrize("lengths", [LENGTHS, (16000, 16000)])
def test_nothing_waits_and_all_is_one_graph(family, lengths):
    encoder = encoder_of(family).train()
    mask_BF = torch.rand(len(lengths), encoder.config.frames(16000)) < 0.3
    sounds = audio(lengths)
    with Waiting() as waiting:
        encoder(sounds, mask_BF).last_BFD.sum().backward()
    assert waiting.found == []
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(encoder.eval(), fullgraph=True, dynamic=False, backend=counter)
    torch.testing.assert_close(compiled(sounds, mask_BF).last_BFD, encoder(sounds, mask_BF).last_BFD)
    assert counter.frame_count == 1
