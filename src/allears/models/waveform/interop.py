"""Maps of an encoder's weights and configuration to those of `Wav2Vec2Model` and `HubertModel`, and back.

Pure: dictionaries in, dictionaries out, no file and no transformers. Ours keeps query, key and value in one matrix; all
else is a change of name. Both classes of transformers name their weights alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from allears.models.published import Published, check_computed, encoder_weights, required_weight
from allears.models.waveform.model import WaveformEncoder
from allears.params.model import WaveformConfig

CLASSES = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel"}
# ours → theirs: a name is a prefix of its weight and bias.
_OUTER = {
    "input_norm": "feature_projection.layer_norm",
    "input_projection": "feature_projection.projection",
    "norm": "encoder.layer_norm",
}
_INNER = {
    "attention.out": "attention.out_proj",
    "attention_norm": "layer_norm",
    "inner": "feed_forward.intermediate_dense",
    "outer": "feed_forward.output_dense",
    "ffn_norm": "final_layer_norm",
}
_POSITIONS = "encoder.pos_conv_embed.conv"
_NORMALISED = "parametrizations.weight.original"  # torch's names since 2.0
_EARLIER = {
    f"{_POSITIONS}.weight_{letter}": f"{_POSITIONS}.{_NORMALISED}{number}" for number, letter in enumerate("gv")
}


def publish(encoder: WaveformEncoder) -> Published:
    """Return what an export folder holds of an encoder."""
    config = encoder.config
    return Published(
        config=config_to_transformers(config),
        preprocessor=preprocessor(config),
        weights=to_transformers(encoder.state_dict(), config),
        usage=usage(config),
    )


def to_transformers(ours: Mapping[str, Tensor], config: WaveformConfig) -> dict[str, Tensor]:
    """Return the state of a model of transformers from that of a WaveformEncoder."""
    theirs = {"masked_spec_embed": ours["mask_embedding"]}
    for mine, other in _renamed(config):
        theirs[other] = ours[mine]
    for block in range(config.blocks):
        for kind in ("weight", "bias"):
            parts = torch.chunk(ours[f"blocks.{block}.attention.query_key_value.{kind}"], 3)
            for name, part in zip("qkv", parts, strict=True):
                theirs[f"encoder.layers.{block}.attention.{name}_proj.{kind}"] = part
    return {name: value.detach().clone().contiguous() for name, value in theirs.items()}


def from_transformers(theirs: Mapping[str, Tensor], config: WaveformConfig) -> dict[str, Tensor]:
    """Return the state of a WaveformEncoder from that of a model of transformers; heads are left out.

    A checkpoint without `masked_spec_embed` (trained without masks) gets zeros. ConfigError names the first weight that
    is missing.
    """
    owner = CLASSES[config.published_as]
    plain = encoder_part(theirs, config)
    ours = {"mask_embedding": plain.get("masked_spec_embed", torch.zeros(config.width))}
    for mine, other in _renamed(config):
        ours[mine] = required_weight(plain, other, owner)
    for block in range(config.blocks):
        for kind in ("weight", "bias"):
            names = (f"encoder.layers.{block}.attention.{name}_proj.{kind}" for name in "qkv")
            parts = [required_weight(plain, name, owner) for name in names]
            ours[f"blocks.{block}.attention.query_key_value.{kind}"] = torch.cat(parts)
    return {name: value.detach().clone().contiguous() for name, value in ours.items()}


def encoder_part(theirs: Mapping[str, Tensor], config: WaveformConfig) -> dict[str, Tensor]:
    """Return the weights of the encoder in a checkpoint that may have heads, under the present names."""
    inside = encoder_weights(theirs, f"{config.published_as}.")
    return {_EARLIER.get(name, name): value for name, value in inside.items()}


def preprocessor(config: WaveformConfig) -> dict[str, Any]:
    """Return the `preprocessor_config.json`: samples with zero mean and unit variance."""
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "do_normalize": True,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": config.extractor_norm == "layer",
        "sampling_rate": config.sample_rate_hz,
    }


def usage(config: WaveformConfig) -> str:
    """Return the card's section on loading."""
    batches = "a list of clips needs `padding=True`, and frames beyond a clip's end mean nothing."
    if config.extractor_norm == "group":
        batches = (
            "one clip at a time: in transformers the padding of a batch changes a clip's frames with this norm "
            "(`feat_extract_norm: group`). allears itself does not have this limit."
        )
    return f"""## How to load it

```python
import torch
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained(folder)
model = AutoModel.from_pretrained(folder).eval()
# audio: float32 in [-1, 1], mono, {config.sample_rate_hz} Hz, one clip
inputs = extractor(audio, sampling_rate={config.sample_rate_hz}, return_tensors="pt")
with torch.no_grad():
    frames = model(**inputs).last_hidden_state  # [clips, frames, width], {config.frame_rate_hz:g} frames per second
```

Batches: {batches}
With allears itself, which takes samples:
`allears.checkpoints.export.load_export(folder)(allears.types.Padded(audio_BT, samples_B)).last_BFD`.
"""


def config_to_transformers(config: WaveformConfig) -> dict[str, Any]:
    """Return the `config.json` of the same model for transformers; our own configuration travels in `allears`."""
    dropouts = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")
    return {
        "architectures": [CLASSES[config.published_as]],
        "model_type": config.published_as,
        "conv_dim": [config.channels] * len(config.kernels),
        "conv_kernel": list(config.kernels),
        "conv_stride": list(config.strides),
        "num_feat_extract_layers": len(config.kernels),
        "feat_extract_norm": config.extractor_norm,
        "feat_extract_activation": "gelu",
        "conv_bias": config.convolution_bias,
        "hidden_size": config.width,
        "num_hidden_layers": config.blocks,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_width,
        "hidden_act": "gelu",
        "do_stable_layer_norm": config.norm_first,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
        "layer_norm_eps": 1e-5,
        "layerdrop": 0.0,
        **dict.fromkeys(dropouts, config.dropout),
        "dtype": "float32",
        "allears": config.model_dump(mode="json"),
    }


def config_from_transformers(values: Mapping[str, Any]) -> WaveformConfig:
    """Return our configuration of a `config.json`: its `allears` block, or one read off another team's model.

    ConfigError for what ours does not compute (adapters, convolutions of several widths, another activation). All
    dropouts become one rate, that of `hidden_dropout`, and layers are never dropped.
    """
    if "allears" in values:
        return WaveformConfig.model_validate(values["allears"])
    channels = values.get("conv_dim", [512] * 7)
    refused = {
        "conv_dim": len(set(channels)) != 1,
        "add_adapter": bool(values.get("add_adapter", False)),
        "adapter_attn_dim": values.get("adapter_attn_dim") is not None,
        "conv_pos_batch_norm": bool(values.get("conv_pos_batch_norm", False)),
        "feat_proj_layer_norm": not values.get("feat_proj_layer_norm", True),
        "hidden_act": values.get("hidden_act", "gelu") != "gelu",
        "feat_extract_activation": values.get("feat_extract_activation", "gelu") != "gelu",
        "layer_norm_eps": values.get("layer_norm_eps", 1e-5) != 1e-5,
    }
    expected = "a Wav2Vec2Model or HubertModel without adapters or batch norm, with gelu and convolutions of one width"
    check_computed(values, refused, expected)
    return WaveformConfig(
        channels=channels[0],
        kernels=tuple(values.get("conv_kernel", (10, 3, 3, 3, 3, 2, 2))),
        strides=tuple(values.get("conv_stride", (5, 2, 2, 2, 2, 2, 2))),
        extractor_norm=values.get("feat_extract_norm", "group"),
        convolution_bias=values.get("conv_bias", False),
        width=values.get("hidden_size", 768),
        blocks=values.get("num_hidden_layers", 12),
        heads=values.get("num_attention_heads", 12),
        ffn_width=values.get("intermediate_size", 3072),
        norm_first=values.get("do_stable_layer_norm", False),
        position_kernel=values.get("num_conv_pos_embeddings", 128),
        position_groups=values.get("num_conv_pos_embedding_groups", 16),
        dropout=values.get("hidden_dropout", 0.1),
        published_as=values["model_type"],
    )


def _renamed(config: WaveformConfig) -> Iterator[tuple[str, str]]:
    """Yield pairs (ours, theirs) of all tensors that only change their name."""
    pairs = list(_OUTER.items())
    for block in range(config.blocks):
        pairs += [(f"blocks.{block}.{mine}", f"encoder.layers.{block}.{other}") for mine, other in _INNER.items()]
    for place in range(len(config.kernels)):
        theirs = f"feature_extractor.conv_layers.{place}"
        yield f"extractor.convolutions.{place}.weight", f"{theirs}.conv.weight"
        if config.convolution_bias:
            yield f"extractor.convolutions.{place}.bias", f"{theirs}.conv.bias"
        if place == 0 or config.extractor_norm == "layer":
            pairs.append((f"extractor.norms.{place}", f"{theirs}.layer_norm"))
    yield "positions.gain_11K", f"{_POSITIONS}.{_NORMALISED}0"
    yield "positions.direction_DCK", f"{_POSITIONS}.{_NORMALISED}1"
    yield "positions.bias_D", f"{_POSITIONS}.bias"
    for mine, other in pairs:
        for kind in ("weight", "bias"):
            yield f"{mine}.{kind}", f"{other}.{kind}"
