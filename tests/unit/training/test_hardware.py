"""One place decides where and in which precision a training computes."""

import pytest
import torch

from allears.errors import ConfigError
from allears.process.hardware import CPU, Hardware, choose_hardware


@pytest.mark.parametrize(
    ("accelerator", "precision", "gpus", "found"),
    [
        ("auto", "auto", 0, Hardware()),
        ("auto", "auto", 2, Hardware(accelerator="gpu", precision="bf16-mixed", local=1)),
        ("gpu", "32", 2, Hardware(accelerator="gpu", local=1)),
        ("cpu", "auto", 2, Hardware()),
        ("cpu", "bf16-mixed", 2, Hardware(precision="bf16-mixed")),
        ("auto", "bf16-mixed", 0, Hardware(precision="bf16-mixed")),
    ],
)
def test_hardware_follows_from_parameters_and_what_is_there(accelerator, precision, gpus, found):
    chosen = choose_hardware("pretrain", accelerator, precision, gpus=gpus, local=1, processes=2)
    assert chosen == found
    assert chosen.device == torch.device("cuda:1" if found.accelerator == "gpu" else "cpu")


def test_a_gpu_that_is_required_and_not_there_is_an_error():
    with pytest.raises(ConfigError, match=r"^finetune\.accelerator is gpu, but torch finds no GPU .*auto or cpu"):
        choose_hardware("finetune", "gpu", "auto", gpus=0)
    with pytest.raises(ConfigError, match=r"^4 processes .* torch finds 2: lower pretrain\.processes"):
        choose_hardware("pretrain", "auto", "auto", gpus=2, processes=4)
    choose_hardware("pretrain", "cpu", "auto", gpus=2, processes=4)


def test_results_of_another_precision_lie_elsewhere():
    names = {Hardware(accelerator=a, precision=p).name for a in ("cpu", "gpu") for p in ("32", "bf16-mixed")}
    assert len(names) == 4
    assert CPU.name == "cpu"


def test_a_forward_pass_is_mixed_only_where_the_precision_is():
    weight, x = torch.ones(4, 4), torch.ones(2, 4)
    with CPU.autocast():
        assert (x @ weight).dtype == torch.float32
    with Hardware(precision="bf16-mixed").autocast():
        assert (x @ weight).dtype == torch.bfloat16


def test_float32_is_exact_on_a_cpu():
    before = torch.get_float32_matmul_precision()
    CPU.set_up()
    assert torch.get_float32_matmul_precision() == before
