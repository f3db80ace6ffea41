import pytest
import torch

from allears.checkpoints.export import save_export
from allears.downstream.build import build_task
from allears.downstream.export import load_task_model, save_task_model
from allears.errors import StorageError
from allears.params.task import ClassifyConfig, CTCConfig

CLASSIFY = ClassifyConfig(target="label", classes=("a", "b"))
CHARACTERS = CTCConfig(alphabet=("a", "é"), head="conv", hidden=4)


@pytest.mark.parametrize("config", [CLASSIFY, CHARACTERS])
def test_a_task_model_comes_back_as_it_was(config, encoder, batch, tmp_path):
    model = build_task(config, 16, encoder, seed=4).eval()
    save_task_model(tmp_path / "model", model, config, {"run": "x"})
    again = load_task_model(tmp_path / "model")
    assert again.config == config
    torch.testing.assert_close(again(*batch), model(*batch))
    assert "allears.downstream.export" in (tmp_path / "model" / "README.md").read_text()


def test_an_encoder_is_not_a_task_model(encoder, tmp_path):
    save_export(tmp_path / "encoder", encoder, {}, "# x")
    with pytest.raises(StorageError, match=r"no head\.safetensors: it is an encoder"):
        load_task_model(tmp_path / "encoder")


def test_a_head_alone_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="no encoder"):
        save_task_model(tmp_path, build_task(CLASSIFY, 16), CLASSIFY, {})
