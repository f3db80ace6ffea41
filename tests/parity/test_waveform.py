"""Our waveform encoder against transformers' Wav2Vec2Model and HubertModel: tiny, base and large, both norm styles."""

import gc

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
)

from allears.checkpoints.export import load_export, save_export
from allears.errors import ConfigError
from allears.models.build import config_of
from allears.models.waveform.interop import (
    config_from_transformers,
    config_to_transformers,
    from_transformers,
    to_transformers,
    usage,
)
from allears.models.waveform.model import WaveformEncoder
from allears.params.model import WaveformConfig
from allears.types import Padded
from tests.public import TINY

STYLES = {
    "group": {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False},
    "layer": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "layer without bias": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": False},
    "group, norms first": {"feat_extract_norm": "group", "do_stable_layer_norm": True, "conv_bias": False},
}
CLASSES = {"wav2vec2": (Wav2Vec2Config, Wav2Vec2Model), "hubert": (HubertConfig, HubertModel)}
# facebook/wav2vec2-base, facebook/hubert-base-ls960 (the defaults), and wav2vec2-large-lv60, hubert-large-ll60k.
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
PUBLISHED = [
    ("wav2vec2", {}), ("hubert", {}),
    ("wav2vec2", LARGE | {"conv_bias": True}), ("hubert", LARGE | {"conv_bias": False}),
]  # fmt: skip
SAMPLES = torch.tensor([8000, 3210, 5555])


def theirs_of(kind, sizes, seed=0, noise=0.1):
    torch.manual_seed(seed)
    config, model = CLASSES[kind]
    found = model(config(**sizes)).eval()
    with torch.no_grad():  # norms and biases start at one and zero: draw them, or a swapped pair would go unnoticed
        for parameter in found.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return found


def ours_of(theirs):
    config = config_from_transformers(theirs.config.to_dict())
    encoder = WaveformEncoder(config).eval()
    encoder.load_state_dict(from_transformers(theirs.state_dict(), config))
    return encoder


def audio_of(samples=SAMPLES):
    generator = torch.Generator().manual_seed(1)
    data = torch.zeros(len(samples), int(samples.max()))
    for row, count in enumerate(samples.tolist()):
        data[row, :count] = 0.3 + 0.1 * torch.randn(count, generator=generator)
    return Padded(data, samples)


def check_layers(found, row, expected):
    """Every layer and the output of one clip."""
    count = expected.last_hidden_state.shape[1]
    assert int(found.frames_B[row]) == count
    assert len(found.layers) == len(expected.hidden_states)
    for mine, other in zip(found.layers, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[row, :count], other[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.last_BFD[row, :count], expected.last_hidden_state[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_each_clip_of_a_padded_batch_equals_transformers_on_the_clip_alone(kind, style):
    theirs = theirs_of(kind, TINY | STYLES[style])
    ours = ours_of(theirs)
    audio = audio_of()
    features = ours.features(audio)
    found = ours.encode(features)
    for row, count in enumerate(SAMPLES.tolist()):
        check_layers(found, row, theirs(features.data[row : row + 1, :count], output_hidden_states=True))


@pytest.mark.parametrize("style", ["layer", "group"])
@torch.no_grad()
def test_masked_batches_equal_transformers(style):
    """With the layer norm transformers' own padded batch is right too; with the group norm only whole batches are."""
    theirs = theirs_of("wav2vec2", TINY | STYLES[style])
    ours = ours_of(theirs)
    samples = SAMPLES if style == "layer" else torch.full((3,), 8000)
    features = ours.features(audio_of(samples))
    F = ours.config.frames(8000)
    mask = torch.rand(3, F, generator=torch.Generator().manual_seed(2)) < 0.4
    attention = (torch.arange(8000) < samples[:, None]).long() if style == "layer" else None
    expected = theirs(features.data, attention_mask=attention, mask_time_indices=mask)
    found = ours.encode(features, mask)
    for row, count in enumerate(found.frames_B.tolist()):
        torch.testing.assert_close(
            found.last_BFD[row, :count], expected.last_hidden_state[row, :count], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            found.local_BFC[row, :count], expected.extract_features[row, :count], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(("kind", "sizes"), PUBLISHED)
@torch.no_grad()
def test_the_published_sizes_equal_transformers(kind, sizes):
    theirs = theirs_of(kind, sizes, noise=0.0)
    ours = ours_of(theirs)
    audio = Padded(audio_of().data[:1], SAMPLES[:1], full=True)
    features = ours.features(audio)
    check_layers(ours.encode(features), 0, theirs(features.data, output_hidden_states=True))
    del theirs, ours
    gc.collect()


@pytest.mark.parametrize("style", STYLES)
def test_gradients_equal_those_of_transformers(style):
    theirs = theirs_of("wav2vec2", TINY | STYLES[style])
    ours = ours_of(theirs)
    features = ours.features(Padded(audio_of().data[:1], SAMPLES[:1], full=True))
    weights = torch.randn(1, ours.config.frames(8000), 16, generator=torch.Generator().manual_seed(2))
    (theirs(features.data).last_hidden_state * weights).sum().backward()
    (ours.encode(features).last_BFD * weights).sum().backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in theirs.named_parameters()}
    expected = from_transformers(gradients, ours.config)
    for name, parameter in ours.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("style", STYLES)
def test_weights_and_configuration_survive_the_way_there_and_back(kind, style):
    theirs = theirs_of(kind, TINY | STYLES[style])
    config = config_of(theirs.config.to_dict())
    back = to_transformers(from_transformers(theirs.state_dict(), config), config)
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())
    assert config_from_transformers(config_to_transformers(config)) == config


@pytest.mark.parametrize("model", [Wav2Vec2ForPreTraining, Wav2Vec2ForCTC])
def test_checkpoints_with_heads_give_their_encoder(model):
    sizes = TINY | STYLES["layer"] | {"codevector_dim": 8, "proj_codevector_dim": 8, "vocab_size": 5}
    whole = model(Wav2Vec2Config(**sizes))
    config = config_from_transformers(whole.config.to_dict())
    ours = from_transformers(whole.state_dict(), config)
    expected = from_transformers(whole.wav2vec2.state_dict(), config)
    assert all(torch.equal(value, expected[name]) for name, value in ours.items())


def test_earlier_names_of_weight_normalisation_are_read():
    theirs = theirs_of("wav2vec2", TINY)
    config = config_from_transformers(theirs.config.to_dict())
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    earlier = {
        next((key.replace(new, old) for new, old in names.items() if new in key), key): value
        for key, value in theirs.state_dict().items()
    }
    assert earlier.keys() != theirs.state_dict().keys()
    expected = from_transformers(theirs.state_dict(), config)
    assert all(torch.equal(value, expected[name]) for name, value in from_transformers(earlier, config).items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"add_adapter": True}, "add_adapter=True"),
        ({"conv_dim": [8, 16] + [8] * 5}, "conv_dim="),
        ({"feat_extract_activation": "relu"}, "feat_extract_activation='relu'"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm=True"),
    ],
)
def test_what_ours_does_not_compute_is_refused_by_name(change, named):
    with pytest.raises(ConfigError, match=named):
        config_from_transformers({"model_type": "hubert"} | TINY | change)


@pytest.mark.parametrize("published_as", CLASSES)
@pytest.mark.parametrize("norm", ["group", "layer"])
@torch.no_grad()
def test_an_export_opens_in_transformers_as_its_card_says(tmp_path, published_as, norm):
    config = WaveformConfig(
        channels=8, width=16, blocks=2, heads=2, ffn_width=24, position_kernel=6, position_groups=4,
        extractor_norm=norm, norm_first=norm == "layer", published_as=published_as,
    )  # fmt: skip
    encoder = WaveformEncoder(config, seed=3).eval()
    folder = save_export(tmp_path / "run", {"encoder": encoder}, {"licences": ["CC0-1.0"]}, "# A card")
    card = (folder / "README.md").read_text()
    assert usage(config) in card
    clip = (0.2 + 0.1 * np.random.default_rng(0).standard_normal(9999)).astype(np.float32)
    names = {"folder": folder, "audio": clip}
    exec(card.split("```python\n")[1].split("```")[0], names)  # noqa: S102
    audio = Padded(torch.from_numpy(clip)[None], torch.tensor([9999]), full=True)
    ours = load_export(folder)(audio)
    torch.testing.assert_close(ours.last_BFD, names["frames"], rtol=0, atol=1e-5)
    assert torch.equal(ours.last_BFD, encoder(audio).last_BFD)
    assert type(AutoModel.from_pretrained(folder)).__name__ == CLASSES[published_as][1].__name__
    assert AutoFeatureExtractor.from_pretrained(folder).do_normalize
