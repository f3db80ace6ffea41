from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allears.downstream.build import build_task
from allears.downstream.examples import Examples, length_batches, training_batches
from allears.downstream.fit import FitSettings, fit, predictions
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig
from allears.params.task import ClassifyConfig

CPU = torch.device("cpu")
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
