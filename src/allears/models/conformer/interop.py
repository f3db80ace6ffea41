"""Maps of an encoder's weights and configuration to those of `transformers.Wav2Vec2BertModel`, and back.

Pure: dictionaries in, dictionaries out, no file and no transformers. Ours keeps query and key in one matrix (they
share their rotated input) and pointwise convolutions as linear layers; all else is a change of name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from allears.models.conformer.model import ConformerEncoder
from allears.models.published import Published, check_computed, encoder_weights, required_weight
from allears.params.model import ConformerConfig, LogMelConfig

_CLASS = "Wav2Vec2BertModel"
# ours → theirs, of the encoder and of each block; a name is a prefix of its weight and bias.
_OUTER = {"input_norm": "feature_projection.layer_norm", "input_projection": "feature_projection.projection"}
_INNER = {
    "ffn1.norm": "ffn1_layer_norm",
    "ffn1.inner": "ffn1.intermediate_dense",
    "ffn1.outer": "ffn1.output_dense",
    "attention.norm": "self_attn_layer_norm",
    "attention.value": "self_attn.linear_v",
    "attention.out": "self_attn.linear_out",
    "convolution.norm": "conv_module.layer_norm",
    "convolution.depthwise_norm": "conv_module.depthwise_layer_norm",
    "ffn2.norm": "ffn2_layer_norm",
    "ffn2.inner": "ffn2.intermediate_dense",
    "ffn2.outer": "ffn2.output_dense",
    "norm": "final_layer_norm",
}
_POINTWISE = {"convolution.expand": "conv_module.pointwise_conv1", "convolution.project": "conv_module.pointwise_conv2"}


def to_transformers(ours: Mapping[str, Tensor], config: ConformerConfig) -> dict[str, Tensor]:
    """The state of a `Wav2Vec2BertModel` from that of a ConformerEncoder."""
    theirs = {"masked_spec_embed": ours["mask_embedding"]}
    for mine, other in _renamed(config):
        theirs[other] = ours[mine]
    for block, layer in _blocks(config):
        for mine, other in _POINTWISE.items():
            theirs[f"{layer}.{other}.weight"] = ours[f"{block}.{mine}.weight"].unsqueeze(-1)
        for kind in ("weight", "bias"):
            query, key = torch.chunk(ours[f"{block}.attention.query_key.{kind}"], 2)
            theirs[f"{layer}.self_attn.linear_q.{kind}"] = query
            theirs[f"{layer}.self_attn.linear_k.{kind}"] = key
    return {name: value.detach().clone().contiguous() for name, value in theirs.items()}


def from_transformers(theirs: Mapping[str, Tensor], config: ConformerConfig) -> dict[str, Tensor]:
    """The state of a ConformerEncoder from that of a `Wav2Vec2BertModel`; heads and other extras are left out.

    A checkpoint without `masked_spec_embed` (fine-tuned without masks) gets zeros. Raises ConfigError naming the first
    weight that is missing.
    """
    theirs = encoder_part(theirs)
    ours = {"mask_embedding": theirs.get("masked_spec_embed", torch.zeros(config.width))}
    for mine, other in _renamed(config):
        ours[mine] = required_weight(theirs, other, _CLASS)
    for block, layer in _blocks(config):
        for mine, other in _POINTWISE.items():
            ours[f"{block}.{mine}.weight"] = required_weight(theirs, f"{layer}.{other}.weight", _CLASS).squeeze(-1)
        for kind in ("weight", "bias"):
            pair = [required_weight(theirs, f"{layer}.self_attn.linear_{name}.{kind}", _CLASS) for name in "qk"]
            ours[f"{block}.attention.query_key.{kind}"] = torch.cat(pair)
    return {name: value.detach().clone().contiguous() for name, value in ours.items()}


def encoder_part(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the encoder in a checkpoint that may have heads."""
    return encoder_weights(theirs, "wav2vec2_bert.")


def publish(encoder: ConformerEncoder) -> Published:
    """Return what an export folder holds of an encoder."""
    config = encoder.config
    return Published(
        config=config_to_transformers(config),
        preprocessor=preprocessor(config.log_mel),
        weights=to_transformers(encoder.state_dict(), config),
        usage=usage(config),
    )


def preprocessor(config: LogMelConfig) -> dict[str, Any]:
    """The `preprocessor_config.json` of the front end."""
    return {
        "feature_extractor_type": "SeamlessM4TFeatureExtractor",
        "feature_size": config.mels,
        "num_mel_bins": config.mels,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": config.sample_rate_hz,
        "stride": config.stack,
    }


def usage(config: ConformerConfig) -> str:
    """The card's section on loading: tried by the tests as it stands."""
    return f"""## How to load it

```python
import torch
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained(folder)
model = AutoModel.from_pretrained(folder).eval()
# audio: float32 in [-1, 1], mono, {config.sample_rate_hz} Hz; one clip or a list of them
inputs = extractor(
    audio, sampling_rate={config.sample_rate_hz}, pad_to_multiple_of={config.log_mel.stack}, return_tensors="pt"
)
with torch.no_grad():
    frames = model(**inputs).last_hidden_state  # [clips, frames, width], {config.frame_rate_hz:g} frames a second
```

`pad_to_multiple_of={config.log_mel.stack}` matters: without it the number of frames of a clip depends on the rest of
its batch. Frames beyond a clip's end (`inputs["attention_mask"] == 0`) mean nothing. With allears itself, which takes
samples: `allears.checkpoints.export.load_export(folder)(allears.types.Padded(audio_BT, samples_B)).last_BFD`.
"""


def config_to_transformers(config: ConformerConfig) -> dict[str, Any]:
    """The `config.json` of the same model for transformers; our own configuration travels in `allears`."""
    return {
        "architectures": ["Wav2Vec2BertModel"],
        "model_type": "wav2vec2-bert",
        "hidden_size": config.width,
        "num_hidden_layers": config.blocks,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_width,
        "feature_projection_input_dim": config.log_mel.width,
        "output_hidden_size": config.width,
        "hidden_act": "swish",
        "conv_depthwise_kernel_size": config.kernel_frames,
        "position_embeddings_type": config.positions,
        "rotary_embedding_base": config.rotary_base,
        "left_max_position_embeddings": config.left_frames,
        "right_max_position_embeddings": config.right_frames,
        "layer_norm_eps": 1e-5,
        "layerdrop": 0.0,
        **dict.fromkeys(
            (
                "hidden_dropout",
                "activation_dropout",
                "attention_dropout",
                "feat_proj_dropout",
                "conformer_conv_dropout",
            ),
            config.dropout,
        ),
        "dtype": "float32",
        "allears": config.model_dump(mode="json"),
    }


def config_from_transformers(values: Mapping[str, Any]) -> ConformerConfig:
    """Our configuration from a `config.json`: the `allears` block, or one read off a foreign Wav2Vec2Bert.

    Raises ConfigError for what ours does not compute (adapters, "relative" positions, another activation).
    """
    if "allears" in values:
        return ConformerConfig.model_validate(values["allears"])
    refused = {
        "model_type": values.get("model_type") != "wav2vec2-bert",
        "add_adapter": bool(values.get("add_adapter", False)),
        "use_intermediate_ffn_before_adapter": bool(values.get("use_intermediate_ffn_before_adapter", False)),
        "hidden_act": values.get("hidden_act", "swish") not in {"swish", "silu"},
        "position_embeddings_type": values.get("position_embeddings_type", "relative_key")
        not in {"rotary", "relative_key"},
        "layer_norm_eps": values.get("layer_norm_eps", 1e-5) != 1e-5,
        "feature_projection_input_dim": values.get("feature_projection_input_dim", 160) not in {160, 320},
    }
    expected = (
        "a Wav2Vec2Bert without adapter or feed-forward before it, rotary or relative_key positions, swish and 80 "
        "log-mels stacked 2 or 4 times"
    )
    check_computed(values, refused, expected)
    return ConformerConfig(
        log_mel=LogMelConfig(stack=2 if values.get("feature_projection_input_dim", 160) == 160 else 4),
        width=values.get("hidden_size", 1024),
        blocks=values.get("num_hidden_layers", 24),
        heads=values.get("num_attention_heads", 16),
        ffn_width=values.get("intermediate_size", 4096),
        kernel_frames=values.get("conv_depthwise_kernel_size", 31),
        positions=values.get("position_embeddings_type", "relative_key"),
        rotary_base=values.get("rotary_embedding_base", 10000),
        left_frames=values.get("left_max_position_embeddings", 64),
        right_frames=values.get("right_max_position_embeddings", 8),
    )


def _blocks(config: ConformerConfig) -> Iterator[tuple[str, str]]:
    for number in range(config.blocks):
        yield f"blocks.{number}", f"encoder.layers.{number}"


def _renamed(config: ConformerConfig) -> Iterator[tuple[str, str]]:
    """Pairs (ours, theirs) of all tensors that only change their name."""
    pairs = list(_OUTER.items())
    for block, layer in _blocks(config):
        pairs += [(f"{block}.{mine}", f"{layer}.{other}") for mine, other in _INNER.items()]
        yield f"{block}.convolution.depthwise.weight", f"{layer}.conv_module.depthwise_conv.weight"
        if config.positions == "relative_key":
            yield f"{block}.attention.distance_PE", f"{layer}.self_attn.distance_embedding.weight"
    for mine, other in pairs:
        for kind in ("weight", "bias"):
            yield f"{mine}.{kind}", f"{other}.{kind}"
