"""Our wav2vec2 objective against Wav2Vec2ForPreTraining: one set of weights, masks, negatives and Gumbel noise."""

import pytest
import torch
from torch.nn import functional
from transformers import Wav2Vec2Config as TheirConfig
from transformers import Wav2Vec2ForPreTraining

from allears.models.waveform.interop import config_from_transformers, from_transformers
from allears.models.waveform.model import WaveformEncoder
from allears.objectives.base import rows
from allears.objectives.wav2vec2 import Wav2Vec2, contrast
from allears.params.objective import MaskConfig, Wav2Vec2Config
from allears.types import Batch, Padded

SAMPLES = 16000
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 4, "feat_extract_norm": "layer", "conv_bias": True,
    "do_stable_layer_norm": True, "codevector_dim": 8, "proj_codevector_dim": 12, "num_codevector_groups": 2,
    "hidden_dropout": 0.0, "activation_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0,
    "feat_quantizer_dropout": 0.0, "layerdrop": 0.0, "num_negatives": 7,
}  # fmt: skip


def pair(codes):
    torch.manual_seed(0)
    theirs = Wav2Vec2ForPreTraining(TheirConfig(**SIZES, num_codevectors_per_group=codes))
    config = config_from_transformers(theirs.config.to_dict())
    encoder = WaveformEncoder(config)
    encoder.load_state_dict(from_transformers(theirs.state_dict(), config))
    ours = Wav2Vec2(
        Wav2Vec2Config(
            mask=MaskConfig(share=0.5, span_frames=3), negatives=7, codebooks=2, codes=codes, code_width=8,
            final_width=12,
        ),
        encoder, seed=0,
    )  # fmt: skip
    quantizer = theirs.quantizer
    ours.quantizer.logits.load_state_dict(quantizer.weight_proj.state_dict())
    ours.quantizer.codes_GVE.data = quantizer.codevectors.data.view(2, codes, 4).clone()
    ours.context_projection.load_state_dict(theirs.project_hid.state_dict())
    ours.target_projection.load_state_dict(theirs.project_q.state_dict())
    return theirs, ours


def batch_of(ours, clips=3):
    audio = 0.1 * torch.randn(clips, SAMPLES, generator=torch.Generator().manual_seed(4))
    batch = Batch(
        keys=tuple("abc"[:clips]), starts=(0,) * clips, before=(0,) * clips, epoch=0, step=40,
        audio=Padded(audio, torch.full((clips,), SAMPLES), full=True),
    )  # fmt: skip
    batch.prepared.update(ours.prepare(batch))
    return batch


def their_negatives(ready, J):
    """Negatives as places among all frames, for every frame; those that are not hidden have any."""
    all_FJ = torch.zeros(ready["mask_BF"].numel(), J, dtype=torch.int64)
    all_FJ[ready["hidden_M"]] = ready["hidden_M"][ready["negatives_MJ"]]
    return all_FJ.view(*ready["mask_BF"].shape, J)


@pytest.mark.parametrize(("codes", "training"), [(40, True), (40, False), (3, False)])
def test_the_loss_and_its_gradients_equal_transformers(monkeypatch, codes, training):
    theirs, ours = pair(codes)
    batch = batch_of(ours)
    ready = batch.prepared
    B, F = ready["mask_BF"].shape
    noise_NGV = -torch.empty(B * F, 2, codes).exponential_(generator=torch.Generator().manual_seed(5)).log()
    theirs.train(training)
    ours.train(training)
    monkeypatch.setattr(
        functional, "gumbel_softmax",
        lambda logits, tau, hard: straight_through(logits, noise_NGV.flatten(0, 1), tau),
    )  # fmt: skip
    monkeypatch.setattr("allears.objectives.wav2vec2.gumbel_like", lambda _: noise_NGV[ready["hidden_M"]])
    theirs.set_gumbel_temperature(float(ready["gumbel_temperature"]))
    features = ours.encoder.features(batch.audio)
    expected = theirs(
        features.data, mask_time_indices=ready["mask_BF"], sampled_negative_indices=their_negatives(ready, 7)
    )
    found = ours(batch)
    torch.testing.assert_close(found.loss_sum, expected.loss, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.metrics["loss"][0], expected.contrastive_loss.detach(), rtol=1e-5, atol=1e-4)
    hidden = found.metrics["code_perplexity"][1]
    torch.testing.assert_close(
        found.metrics["code_perplexity"][0] / hidden, expected.codevector_perplexity.detach(), rtol=1e-5, atol=1e-5
    )
    found.loss_sum.backward()
    expected.loss.backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in theirs.named_parameters()}
    for name, gradient in from_transformers(gradients, ours.encoder.config).items():
        mine = ours.encoder.get_parameter(name).grad
        torch.testing.assert_close(mine, gradient, rtol=1e-3, atol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(
        ours.context_projection.weight.grad, theirs.project_hid.weight.grad, rtol=1e-3, atol=1e-3
    )
    if training:
        torch.testing.assert_close(
            ours.quantizer.logits.weight.grad, theirs.quantizer.weight_proj.weight.grad, rtol=1e-3, atol=1e-3
        )


def straight_through(logits, noise, tau):
    soft = ((logits + noise) / tau).softmax(-1)
    hard = functional.one_hot(soft.argmax(-1), logits.shape[-1]).to(soft.dtype)
    return hard + (soft - soft.detach())  # exactly hard, so that equal codes are equal vectors


def test_negatives_are_other_hidden_frames_of_the_same_clip():
    _, ours = pair(40)
    ready = batch_of(ours).prepared
    F = ready["mask_BF"].shape[1]
    hidden_M, negatives_MJ = ready["hidden_M"], ready["hidden_M"][ready["negatives_MJ"]]
    assert (negatives_MJ // F == (hidden_M // F)[:, None]).all()
    assert (negatives_MJ != hidden_M[:, None]).all()
    assert ready["mask_BF"].flatten()[negatives_MJ].all()
    again = batch_of(ours).prepared
    assert torch.equal(again["negatives_MJ"], ready["negatives_MJ"])


def test_the_contrast_is_that_of_a_loop():
    """Cosine of each pair by itself; negatives with equal codes are left out."""
    generator = torch.Generator().manual_seed(0)
    contexts, targets = (torch.randn(6, 5, generator=generator) for _ in range(2))
    codes = torch.tensor([[0, 1], [0, 1], [2, 1], [3, 0], [0, 1], [5, 5]])
    negatives = torch.tensor([[1, 2], [0, 4], [3, 4], [2, 0], [0, 1], [5, 5]])
    loss, correct, judged = contrast(contexts, targets, codes, negatives, 0.1)
    expected, right, some = 0.0, 0, 0
    for m in range(6):
        own = functional.cosine_similarity(contexts[m], targets[m], dim=0) / 0.1
        others = [
            functional.cosine_similarity(contexts[m], targets[n], dim=0) / 0.1
            for n in negatives[m].tolist()
            if not torch.equal(codes[n], codes[m])
        ]
        expected += torch.logsumexp(torch.stack([own, *others]), 0) - own
        right += bool(others) and all(own > other for other in others)
        some += bool(others)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert int(correct) == right
    assert int(judged) == some == 3


def test_targets_are_taken_before_anything_is_hidden():
    _, ours = pair(40)
    batch = batch_of(ours)
    features = ours.encoder.features(batch.audio)
    hidden = ours.encoder.encode(features, batch.prepared["mask_BF"])
    seen = ours.encoder.encode(features)
    assert torch.equal(hidden.local_BFC, seen.local_BFC)
    places = batch.prepared["hidden_M"]
    assert not torch.allclose(rows(hidden.last_BFD, places), rows(seen.last_BFD, places))
