"""What every objective keeps. A new one is tested by being listed in `AnyObjectiveConfig`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch._dynamo.testing import CompileCounterWithBackend

from allears.checkpoints.export import load_export, save_export
from allears.checkpoints.training_state import load_state, weights_of
from allears.models.base import Encoder
from allears.params.model import EncoderConfig
from allears.params.pretrain import PretrainParams
from allears.training import pretrain
from allears.training.module import compile_objective, mark_dynamic
from allears.training.pretrain import new_objective
from tests.contract.small import ENCODERS, OBJECTIVES, SMALL, Waiting, audio, batch, objective, small
from tests.pretraining import make_spec, tiny, updates_of
from tests.support import make_shards

EACH = pytest.mark.parametrize("name", OBJECTIVES)


def parameters_of(name: str, **changes: object) -> PretrainParams:
    sizes = {field: value for field, value in SMALL.items() if field in OBJECTIVES[name].model_fields}
    return tiny(objective=name, objectives={name: sizes}, **changes)


@EACH
def test_a_loss_is_a_sum_and_a_count_and_every_weight_learns(name: str) -> None:
    model = objective(name)
    output = model(batch(model))
    assert output.loss_sum.shape == output.count.shape == ()
    assert output.loss_sum.dtype == torch.float32
    assert float(output.loss_sum.detach()) > 0
    assert float(output.count) > 0
    for total, count in output.metrics.values():
        assert not total.requires_grad
        assert total.shape == count.shape == ()
    for counts_KV in output.histograms.values():
        assert counts_KV.ndim == 2
        assert counts_KV.dtype == torch.int64
    output.loss_sum.backward()
    learned = {key for key, each in model.named_parameters() if each.grad is not None and each.grad.abs().sum() > 0}
    assert learned == {key for key, each in model.named_parameters() if each.requires_grad}


def refusal(name: str, encoder: EncoderConfig) -> str:
    """What the objective says of an encoder that does not suit it; '' for one that does."""
    try:
        small(OBJECTIVES[name]).check(encoder)
    except ValueError as error:
        return str(error)
    return ""


@EACH
@pytest.mark.parametrize("family", ENCODERS)
def test_every_encoder_can_be_trained_or_is_refused_in_a_sentence(name: str, family: str) -> None:
    encoder = small(ENCODERS[family])
    if refused := refusal(name, encoder):
        assert {name, family} <= set(re.findall(r"\w+", refused))
        return
    model = objective(name, encoder)
    model(batch(model, encoder=encoder)).loss_sum.backward()
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in model.parameters())


@EACH
def test_losses_are_float32_in_autocast(name: str) -> None:
    model = objective(name)
    plain = model.eval()(batch(model))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch(model))
    assert output.loss_sum.dtype == torch.float32
    torch.testing.assert_close(output.loss_sum, plain.loss_sum, rtol=5e-3, atol=0)


@EACH
def test_padding_and_rows_that_fill_the_batch_change_nothing(name: str) -> None:
    model = objective(name).eval()
    plain = model(batch(model))
    for other in (batch(model, beyond=float("nan")), batch(model, fill=2)):
        found = model(other)
        torch.testing.assert_close(found.loss_sum, plain.loss_sum, rtol=1e-5, atol=1e-4)
        assert torch.equal(found.count, plain.count)
        for metric, (total, count) in plain.metrics.items():
            torch.testing.assert_close(found.metrics[metric][0], total, rtol=1e-5, atol=1e-4)
            assert torch.equal(found.metrics[metric][1], count)


@EACH
def test_a_batch_of_empty_rows_has_no_loss_and_reaches_the_weights(name: str, tmp_path: Path) -> None:
    """What a rank without clips runs, while the others wait for its gradients."""
    params = parameters_of(name)
    shards = make_shards(tmp_path / "shards", clips=40)
    spec = make_spec(shards, tmp_path / "run", params)
    make = updates_of(params, pretrain.training_data(*shards, params), 1, targets=spec.targets).make
    output = make.objective(make.empty())
    assert float(output.count) == 0.0
    output.loss_sum.backward()
    assert float(output.loss_sum.detach()) == 0.0
    for each in make.objective.parameters():
        assert each.grad is None or not each.grad.any()


@EACH
def test_what_is_prepared_needs_no_weights_and_is_the_same_each_time(name: str) -> None:
    model = objective(name)
    first = batch(model).prepared
    again = batch(model.to("meta")).prepared
    assert first.keys() == again.keys()
    assert all(torch.equal(value, again[key]) and value.device.type == "cpu" for key, value in first.items())


class Recorder(Callback):
    """Collects what would wait in the first two updates of three, micro-batches, clipping and AdamW included."""

    def __init__(self) -> None:
        self.waiting = Waiting()

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step < 2:
            self.waiting.__enter__()

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step <= 2:
            self.waiting.__exit__(None, None, None)


@EACH
def test_nothing_in_an_update_waits_for_the_device(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(pretrain, "progress", lambda watch: recorder)
    params = parameters_of(name, batch={"micro_batches": 2}, updates=3, log_every=10, validate_batches=0)
    pretrain.run(make_spec(make_shards(tmp_path / "shards", clips=40), tmp_path / "run", params))
    assert recorder.waiting.seen > 100
    assert recorder.waiting.found == []


def test_what_waits_is_found() -> None:
    x = torch.rand(5)
    with Waiting() as waiting:
        x.sum().item()
        x[x > 0.5]
        x.nonzero()
        torch.tensor([1.0])
        torch.bincount(torch.ones(3, dtype=torch.int64))
    assert {name.split(".")[0] for name in waiting.found} == {
        "_local_scalar_dense", "index", "nonzero", "lift_fresh", "bincount"
    }  # fmt: skip


@EACH
def test_front_end_encoder_and_loss_are_one_graph_per_bucket(name: str, tmp_path: Path) -> None:
    params = parameters_of(name, batch={"seconds": 4.0, "crop_s": 1.0, "buckets": 3}, log_every=1)
    shards = make_shards(tmp_path / "shards", clips=60, seconds=0.7)
    spec = make_spec(shards, tmp_path / "run", params)
    data = pretrain.training_data(*shards, params)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model, eager = new_objective(params).eval(), new_objective(params).eval()
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend=counter)
    micros = [micro for update in updates_of(params, data, 40, targets=spec.targets) for micro in update.micros]
    shapes = {tuple(micro.audio.data.shape) for micro in micros if micro.audio is not None}
    if shapes:
        assert 1 < len(shapes) <= len(data.plan.buckets) == 3
        assert all(micro.audio.full for micro in micros)
    for micro in micros:
        found, expected = compiled(mark_dynamic(micro)), eager(micro)
        torch.testing.assert_close(found.loss_sum, expected.loss_sum, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.count, expected.count)
        found.loss_sum.backward()
    assert counter.frame_count <= max(1, len(data.plan.buckets))


@EACH
def test_a_run_resumes_exports_and_comes_back(name: str, tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=40)
    params = parameters_of(name, updates=4, checkpoint_every=2)
    whole = make_spec(shards, tmp_path / "whole", params)
    pretrain.run(whole)
    shutil.copytree(whole.folder, tmp_path / "resumed")
    for lost in ("receipt.json", "checkpoints/step-000000004.pt"):
        (tmp_path / "resumed" / lost).unlink()
    resumed = whole.model_copy(update={"folder": tmp_path / "resumed"})
    pretrain.run(resumed)
    expected, found = (
        weights_of(load_state(spec.folder / "checkpoints" / "step-000000004.pt")) for spec in (whole, resumed)
    )
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    model = new_objective(params)
    model.load_state_dict(expected)
    exported = model.exports()
    folder = save_export(tmp_path / "export", exported, {"run": "x"}, "# A card")
    assert (folder / "README.md").read_text().startswith("# A card")
    for key, module in exported.items():
        if isinstance(module, Encoder):
            again = load_export(folder if key == "encoder" else folder / key)
            module.eval()
            assert torch.equal(again(audio()).last_BFD, module(audio()).last_BFD)


@EACH
def test_more_buckets_than_torch_recompiles_by_itself_are_compiled(name: str) -> None:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=3):
        model = objective(name)
        compile_objective(model, 6, backend="aot_eager")
        for number in range(6):
            for training in (True, False):
                micro = batch(model.train(training), (8000 + 1600 * number,) * 3)
                with torch.set_grad_enabled(training):
                    assert model(mark_dynamic(micro)).loss_sum.isfinite()
    torch._dynamo.reset()
