import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from allears.downstream.build import build_task
from allears.downstream.examples import GPU_TIMES, Examples, forward_size, length_batches, pad, training_batches
from allears.downstream.extract import hidden_states
from allears.downstream.fit import CLIP_NORM, FitSettings, fit, predictions
from allears.errors import TrainingError
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig
from allears.params.task import ClassifyConfig, CTCConfig
from allears.process.hardware import CPU, Hardware

TASK = ClassifyConfig(target="label", classes=("low", "high"))


def _examples(clips: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    tilt = torch.linspace(-1, 1, 320)
    lengths = [6 + i % 7 for i in range(clips)]
    sign = [1.0 if i % 2 else -1.0 for i in range(clips)]
    return Examples(
        inputs=[
            (torch.randn(length, 320, generator=generator) + one * tilt).half()
            for length, one in zip(lengths, sign, strict=True)
        ],
        references=["high" if one > 0 else "low" for one in sign],
        clips=[f"c{i}" for i in range(clips)],
        groups=["s"] * clips,
    )


def _model(seed: int = 0):
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32, dropout=0.1)
    return build_task(TASK, 16, build_encoder(config, seed), seed)


def _settings(**changes) -> FitSettings:
    return FitSettings(**{"learning_rate": 3e-3, "updates": 30, "batch_clips": 4, "dev_every": 10, "seed": 5} | changes)


def test_a_fit_learns_and_keeps_its_best_check():
    model, dev = _model(), _examples(20, 2)
    found = fit(model, _examples(24, 1), dev, _settings(), CPU)
    assert [check.step for check in found.checks] == [10, 20, 30]
    assert found.best.errors == min(check.errors for check in found.checks) <= 2
    model.load_state_dict(found.state)
    wrong = sum(one != other for one, other in zip(dev.references, predictions(model, dev, CPU), strict=True))
    assert wrong == found.best.errors


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before():
    fits = []
    for _ in range(2):
        torch.randn(7)
        fits.append(fit(_model(), _examples(24, 1), _examples(8, 2), _settings(), CPU))
    assert all(torch.equal(fits[0].state[name], fits[1].state[name]) for name in fits[0].state)


@pytest.mark.parametrize(("changes", "moved"), [({"frozen_updates": 30}, set()), ({"frozen_blocks": 1}, {"blocks.1"})])
def test_frozen_parts_stay_as_they_were(changes, moved):
    model = _model()
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    fit(model, _examples(24, 1), _examples(8, 2), _settings(**changes), CPU)
    after = model.encoder.state_dict()
    changed = {".".join(name.split(".")[:2]) for name in before if not torch.equal(before[name], after[name])}
    assert changed == moved


def test_a_factor_slows_the_encoder_alone():
    shift = {}
    for factor in (1.0, 0.1):
        model = _model()
        before = model.encoder.input_projection.weight.detach().clone()
        fit(model, _examples(24, 1), _examples(8, 2), _settings(encoder_lr_factor=factor), CPU)
        shift[factor] = float((model.encoder.input_projection.weight - before).detach().norm())
    assert 0 < shift[0.1] < 0.3 * shift[1.0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 3))
def test_training_takes_every_clip_once_an_epoch(lengths, size, seed):
    batches = list(islice(training_batches(lengths, size, seed), 8 * 20))
    assert {len(batch) for batch in batches} == {size}
    counts = np.bincount(np.concatenate(batches), minlength=len(lengths))
    assert counts.max() - counts.min() <= 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 200))
def test_length_batches_hold_every_clip_once_under_their_cap(lengths, most):
    batches = list(length_batches(lengths, most))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most for batch in batches)


MIXED = Hardware(precision="bf16-mixed")


def test_a_fit_on_a_cpu_is_a_plain_loop_bit_by_bit():
    settings, train, dev = _settings(warmup_share=0.0, weight_decay=0.1), _examples(24, 1), _examples(8, 2)
    found = fit(_model(), train, dev, settings, CPU)
    model = _model()
    parameters = [*model.head.parameters(), *model.encoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1, fused=True)
    batches = training_batches([len(one) for one in train.inputs], 4, 5)
    states = {}
    torch.manual_seed(5)
    for step in range(1, 31):
        optimiser.param_groups[0]["lr"] = 3e-3 * (30 - (step - 1)) / 29 if step > 1 else 3e-3
        picked = next(batches)
        targets = [model.encode_target(train.references[i]) for i in picked]
        loss, count = model.train().loss(pad([train.inputs[i] for i in picked], torch.device("cpu")), targets)
        optimiser.zero_grad()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimiser.step()
        states[step] = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(torch.equal(value, states[found.best.step][name]) for name, value in found.state.items())


@pytest.mark.parametrize("task", [TASK, CTCConfig(alphabet=tuple("ghilow"), head="conv", hidden=8)])
def test_mixed_precision_learns_with_float32_weights_and_losses(task, monkeypatch):
    losses = []
    model = build_task(task, 16, build_encoder(ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32), 0), 0)
    plain = model.loss
    monkeypatch.setattr(model, "loss", lambda *given: losses.append(plain(*given)) or losses[-1])
    products = []
    model.encoder.input_projection.register_forward_hook(lambda module, inputs, output: products.append(output.dtype))
    found = fit(model, _examples(24, 1), _examples(20, 2), _settings(), MIXED)
    assert set(products) == {torch.bfloat16}
    assert {loss.dtype for loss, _ in losses} == {torch.float32} == {value.dtype for value in found.state.values()}
    assert losses[-1][0] < 0.9 * losses[0][0]


def test_frozen_features_in_mixed_precision_are_near_those_in_float32():
    encoder = build_encoder(ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32), 0)
    inputs = _examples(12, 1).inputs
    exact, mixed = (hidden_states(encoder, inputs, (2,), each, wanted={0, 3}) for each in (CPU, MIXED))
    assert mixed.pooled_NLD.dtype == torch.float32
    assert 0 < (mixed.pooled_NLD - exact.pooled_NLD).abs().max() < 0.05
    assert [len(one) for one in mixed.frames[2]] == [len(one) for one in exact.frames[2]]
    assert (mixed.frames[2][3] - exact.frames[2][3]).abs().max() < 0.1


def test_a_loss_that_is_not_finite_is_found_at_the_next_check_and_named():
    train = _examples(24, 1)
    broken = Examples(
        inputs=[one * (math.nan if i == 5 else 1) for i, one in enumerate(train.inputs)],
        references=train.references, clips=train.clips, groups=train.groups,
    )  # fmt: skip
    batches = training_batches([len(one) for one in broken.inputs], 4, 5)
    first = next(number for number, picked in enumerate(batches, start=1) if 5 in picked)
    with pytest.raises(TrainingError, match=rf"the loss at update {first} is nan; lower finetune\.learning_rates"):
        fit(_model(), broken, _examples(8, 2), _settings(), CPU)


class Reads(TorchDispatchMode):
    """Counts what would wait for a device: a value that the host reads."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found += func.name().split("::")[-1].split(".")[0] in {"_local_scalar_dense", "nonzero", "is_nonzero"}
        return func(*args, **kwargs or {})


def test_no_update_waits_for_the_device(monkeypatch):
    model, reads, counts = _model(), Reads(), []
    plain = model.loss
    monkeypatch.setattr(model, "loss", lambda *given: counts.append(reads.found) or plain(*given))
    with reads:
        fit(model, _examples(24, 1), _examples(8, 2), _settings(updates=9, dev_every=9), CPU)
    assert len(counts) == 9
    assert len(set(counts)) == 1  # nothing between two updates


def test_a_gpu_takes_more_in_a_forward_pass():
    assert forward_size(3000, torch.device("cpu")) == 3000
    assert forward_size(3000, torch.device("cuda")) == GPU_TIMES * 3000 == 600 * 50  # ten minutes at 50 Hz
