from dataclasses import replace

import pytest
import torch

from allears.models.build import build_encoder
from allears.params.model import ConformerConfig, LogMelConfig
from allears.types import Padded


def config(positions="rotary", stack=4, **changes):
    return ConformerConfig(
        log_mel=LogMelConfig(stack=stack), width=16, blocks=2, heads=2, ffn_width=24, kernel_frames=5,
        positions=positions, **changes,
    )  # fmt: skip


def noise(*lengths):
    batch = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        batch[row, :length] = 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(row))
    return Padded(batch, torch.tensor(lengths))


@pytest.mark.parametrize("positions", ["rotary", "relative_key"])
@pytest.mark.parametrize("stack", [2, 4])
def test_a_clip_in_a_padded_batch_is_the_clip_alone(positions, stack):
    encoder = build_encoder(config(positions, stack)).eval()
    audio = noise(16000, 9000, 700)
    with torch.no_grad():
        together = encoder(audio)
        for row, length in enumerate(audio.lengths_B.tolist()):
            alone = encoder(Padded(audio.data[row : row + 1, :length], audio.lengths_B[row : row + 1]))
            count = int(alone.frames_B)
            assert together.frames_B[row] == count
            for mine, other in zip(together.layers, alone.layers, strict=True):
                torch.testing.assert_close(mine[row, :count], other[0, :count], rtol=0, atol=1e-4)


def test_hidden_frames_are_hidden_and_others_hear_the_mask():
    encoder = build_encoder(config()).eval()
    audio = noise(16000)
    mask = torch.zeros(1, 25, dtype=torch.bool)
    mask[0, 5:9] = True
    features = encoder.features(audio)
    other = replace(features, data=features.data.clone())
    other.data[0, 5:9] = 7.0
    with torch.no_grad():
        assert torch.equal(encoder.encode(features, mask).last_BFD, encoder.encode(other, mask).last_BFD)
        heard, masked = encoder(audio).last_BFD, encoder(audio, mask).last_BFD
        assert not torch.allclose(heard[~mask], masked[~mask])


@pytest.mark.parametrize("positions", ["rotary", "relative_key"])
def test_a_batch_without_padding_needs_no_mask(positions):
    encoder = build_encoder(config(positions)).eval()
    audio = noise(16000, 16000)
    with torch.no_grad():
        masked, unmasked = encoder(audio), encoder(replace(audio, full=True))
    for one, other in zip(masked.layers, unmasked.layers, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_rows_that_only_fill_a_batch_are_finite_and_change_nothing(full):
    encoder = build_encoder(config()).eval()
    audio = noise(16000, 16000).data
    audio[1] = 0
    with torch.no_grad():
        filled = encoder(Padded(audio, torch.tensor([16000, 0]), full))
        alone = encoder(Padded(audio[:1], torch.tensor([16000])))
    assert filled.frames_B.tolist() == [25, 0]
    assert filled.last_BFD.isfinite().all()
    torch.testing.assert_close(filled.last_BFD[0], alone.last_BFD[0], rtol=0, atol=1e-5)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build_encoder(config("relative_key"), seed=7).state_dict()
    torch.manual_seed(2)
    second, third = (
        build_encoder(config("relative_key"), seed=7).state_dict(),
        build_encoder(config("relative_key"), seed=8),
    )
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert not torch.equal(first["mask_embedding"], third.mask_embedding)
    assert not torch.equal(first["blocks.0.ffn1.inner.weight"], first["blocks.1.ffn1.inner.weight"])


def test_the_default_has_two_to_three_million_parameters():
    assert 2e6 < sum(parameter.numel() for parameter in build_encoder(ConformerConfig()).parameters()) < 3e6


def test_dropout_works_in_training_only():
    encoder = build_encoder(config(dropout=0.5))
    audio = noise(16000)
    assert not torch.equal(encoder(audio).last_BFD, encoder(audio).last_BFD)
    encoder.eval()
    assert torch.equal(encoder(audio).last_BFD, encoder(audio).last_BFD)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 30, "heads": 4}, "the nearest width that does is 32"),
        ({"kernel_frames": 4}, "use 5"),
        ({"widht": 3}, "widht"),
    ],
)
def test_impossible_sizes_are_refused_with_what_to_do(values, words):
    with pytest.raises(ValueError, match=words):
        ConformerConfig(**values)
