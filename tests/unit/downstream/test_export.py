import pytest
import torch

from allears.checkpoints.export import save_export, save_head
from allears.downstream.build import build_task
from allears.downstream.export import load_task_model, save_task_model
from allears.errors import StorageError
from allears.params.task import ClassifyConfig, CTCConfig

CLASSIFY = ClassifyConfig(target="label", classes=("a", "b"))
CHARACTERS = CTCConfig(alphabet=("a", "é"), head="conv", hidden=4)


@pytest.mark.parametrize("config", [CLASSIFY, CHARACTERS])
def test_a_task_model_comes_back_as_it_was(config, encoder, batch, tmp_path):
    model = build_task(config, 16, encoder, seed=4).eval()
    save_task_model(tmp_path / "model", model, {"run": "x"})
    again = load_task_model(tmp_path / "model")
    assert again.config == config
    torch.testing.assert_close(again(batch), model(batch))
    assert "allears.downstream.export" in (tmp_path / "model" / "README.md").read_text()


def test_an_encoder_is_not_a_task_model(encoder, tmp_path):
    save_export(tmp_path / "encoder", {"encoder": encoder}, {}, "# x")
    with pytest.raises(StorageError, match=r"no head\.safetensors: it is an encoder"):
        load_task_model(tmp_path / "encoder")


def test_a_head_alone_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="no encoder"):
        save_task_model(tmp_path, build_task(CLASSIFY, 16), {})


def test_a_head_of_another_model_is_refused_in_a_sentence(encoder, tmp_path):
    folder = save_task_model(tmp_path / "model", build_task(CLASSIFY, 16, encoder), {})
    three = ClassifyConfig(target="label", classes=("a", "b", "c"))
    for facts in ({"config": three.model_dump_json()}, {"config": "{}"}, {"by": "somebody else"}):
        save_head(folder / "head.safetensors", build_task(CLASSIFY, 16, encoder).head, facts)
        with pytest.raises(StorageError, match=r"head\.safetensors is not the head of this encoder"):
            load_task_model(folder)
