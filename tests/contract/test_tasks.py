"""What every task keeps. A new one is tested by being listed in `AnyTaskConfig`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allears.downstream.build import build_task, task_class
from allears.downstream.export import load_task_model, save_task_model
from allears.downstream.grid import plan_tasks, searched
from allears.models.build import build_encoder
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.types import Padded
from tests.contract.small import MAKERS, TASKS, audio, encoder_config
from tests.support import make_shards

EACH = pytest.mark.parametrize("name", TASKS)
ON_EACH = pytest.mark.parametrize("encoder", MAKERS)
REFERENCES = ["1", "22", "333"]  # texts, classes and numbers at once


def task_of(name, encoder=None, head=None):
    choices = FinetuneParams(task=name)
    heads = getattr(choices, TASKS[name].head_choices) if TASKS[name].head_choices else ("mean",)
    config = task_class(TASKS[name]).configure("text", REFERENCES, REFERENCES, head or heads[0])
    return build_task(config, encoder_config().width, encoder, seed=2)


@EACH
@ON_EACH
def test_a_loss_is_a_sum_over_clips_and_every_weight_learns(name, encoder):
    encoder = MAKERS[encoder]()
    model = task_of(name, encoder)
    features = encoder.features(audio())
    targets = [model.encode_target(reference) for reference in REFERENCES]
    loss, count = model.loss(features, targets)
    assert count > 0
    loss.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.head.parameters())
    model.eval()
    alone = []
    for row, target in enumerate(targets):
        length = int(features.lengths_B[row])
        alone.append(
            model.loss(Padded(features.data[row : row + 1, :length], features.lengths_B[row : row + 1]), [target])
        )
    torch.testing.assert_close(model.loss(features, targets)[0], sum(one for one, _ in alone), rtol=1e-4, atol=1e-3)
    assert sum(counted for _, counted in alone) == count


@EACH
@torch.no_grad()
def test_padding_changes_no_prediction(name):
    model = task_of(name).eval()
    data = torch.randn(3, 20, encoder_config().width, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([20, 12, 7])
    plain = model.predict(Padded(data, lengths))
    broken = data.clone()
    for row, length in enumerate(lengths.tolist()):
        broken[row, length:] = float("nan")
    assert model.predict(Padded(broken, lengths)) == plain


@EACH
@ON_EACH
def test_errors_are_counted_and_predictions_have_a_text(name, encoder):
    model = task_of(name, MAKERS[encoder]()).eval()
    predictions = model.predict(model.encoder.features(audio()))
    assert len(predictions) == 3
    alone = model.predict(model.encoder.features(Padded(audio().data[1:2, :9000], torch.tensor([9000]), full=True)))
    assert alone == predictions[1:2]
    for reference, prediction in zip(REFERENCES, predictions, strict=True):
        errors, total = model.errors(reference, prediction)
        assert errors >= 0
        assert total > 0
        assert isinstance(model.as_text(prediction), str)
    assert model.card().endswith(".")


@EACH
@torch.no_grad()
def test_it_is_saved_and_comes_back(name, tmp_path: Path):
    model = task_of(name, build_encoder(encoder_config())).eval()
    again = load_task_model(save_task_model(tmp_path / "model", model, {"run": "x"}))
    assert again.config == model.config
    features = model.encoder.features(audio())
    assert again.predict(again.encoder.features(audio())) == model.predict(features)


@EACH
def test_a_corpus_that_has_its_target_gets_a_plan_and_cells(name, tmp_path: Path):
    clips = make_shards(tmp_path / "shards", clips=60, seconds=0.3)[1]
    params = FinetuneParams(
        task=name, min_class_clips=4, min_text_clips=10, shares=(1.0,), limits=ClipLimits(train=60, dev=20, test=20)
    )
    (plan,) = plan_tasks(clips, params, 16000)
    assert plan.task == name
    assert searched(plan, "", "scratch", params)
