import json

import pytest
import torch

from allears.checkpoints.export import load_export, load_head, save_export, save_head
from allears.checkpoints.known import holds_encoder, loader
from allears.errors import ConfigError, StorageError
from allears.models.build import build_encoder
from allears.models.heads import MeanPoolLinear
from allears.params.model import ConformerConfig

CONFIG = ConformerConfig(width=16, blocks=1, heads=2, ffn_width=16, kernel_frames=3)


def test_a_new_export_replaces_the_old_one_whole(tmp_path):
    folder = tmp_path / "encoder"
    save_export(folder, {"encoder": build_encoder(CONFIG, seed=1)}, {}, "one")
    (folder / "left-over").touch()
    second = build_encoder(CONFIG, seed=2)
    save_export(folder, {"encoder": second}, {}, "two")
    found = load_export(folder)
    assert not (folder / "left-over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
    for name, value in second.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    assert not found.training


def test_what_fails_while_writing_leaves_the_old_export(tmp_path):
    folder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "one")
    with pytest.raises(TypeError):
        save_export(folder, {"encoder": build_encoder(CONFIG)}, {("no", "key"): 1}, "two")
    assert (folder / "README.md").read_text().startswith("one")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_every_module_of_an_objective_has_its_place(tmp_path):
    modules = {"head": MeanPoolLinear(16, 3, seed=5), "encoder": build_encoder(CONFIG, seed=1)}
    modules["teacher"] = build_encoder(CONFIG.model_copy(update={"blocks": 2}), seed=2)
    folder = save_export(tmp_path / "run", modules, {}, "# A card")
    for name, place in (("encoder", folder), ("teacher", folder / "teacher")):
        found = load_export(place)
        assert found.config == modules[name].config
        assert all(torch.equal(value, modules[name].state_dict()[key]) for key, value in found.state_dict().items())
    weights, _ = load_head(folder / "head.safetensors")
    assert all(torch.equal(value, weights[key]) for key, value in modules["head"].state_dict().items())
    assert (folder / "README.md").read_text().count("## How to load it") == 1


def test_an_export_without_an_encoder_says_so_and_how_to_load_it(tmp_path):
    folder = save_export(tmp_path / "run", {"lm": MeanPoolLinear(16, 3, seed=5)}, {}, "# A card")
    assert not holds_encoder(folder)
    assert loader(folder) == "its README.md says how to load it"
    assert (
        "`lm.safetensors` holds the weights of a `allears.models.heads.MeanPoolLinear`"
        in (folder / "README.md").read_text()
    )
    encoder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "")
    assert holds_encoder(encoder)
    assert loader(encoder) == "transformers: AutoModel.from_pretrained"
    values = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps({"allears": values["allears"]}))  # of no model of theirs
    assert loader(encoder) == "allears.checkpoints.export.load_export"
    assert load_export(encoder).config == CONFIG


def test_a_truncated_weight_file_is_named(tmp_path):
    folder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"model\.safetensors is not a whole safetensors file"):
        load_export(folder)
    weights.unlink()
    with pytest.raises(StorageError, match="does not exist"):
        load_export(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "whisper"}, "a model of type 'whisper', which allears does not compute"),
        ({"add_adapter": True}, "add_adapter=True"),
        ({"use_intermediate_ffn_before_adapter": True}, "use_intermediate_ffn_before_adapter=True"),
        ({"conv_depthwise_kernel_size": 4}, r"config\.json describes .*kernel_frames must be odd, found 4"),
        ({"hidden_size": 32}, r"model\.safetensors does not belong to .*\[16.*makes it \[32"),
        ({"position_embeddings_type": "relative"}, "position_embeddings_type='relative'"),
    ],
)
def test_a_checkpoint_that_ours_cannot_compute_is_refused(tmp_path, change, words):
    folder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "")
    config = json.loads((folder / "config.json").read_text()) | change
    del config["allears"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=words):
        load_export(folder)


def test_a_configuration_of_another_version_is_named(tmp_path):
    folder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "")
    config = json.loads((folder / "config.json").read_text())
    config["allears"]["gates"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"config\.json describes .*\(gates: Extra inputs .*the version"):
        load_export(folder)


def test_config_and_weights_that_do_not_belong_together_are_refused(tmp_path):
    folder = save_export(tmp_path / "encoder", {"encoder": build_encoder(CONFIG)}, {}, "")
    config = json.loads((folder / "config.json").read_text())
    config["allears"]["blocks"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"no weight 'encoder\.layers\.1"):
        load_export(folder)


def test_a_head_comes_back_with_its_facts(tmp_path):
    head = MeanPoolLinear(4, 3, seed=5)
    save_head(tmp_path / "head.safetensors", head, {"classes": '["a", "b", "c"]'})
    weights, facts = load_head(tmp_path / "head.safetensors")
    assert facts == {"classes": '["a", "b", "c"]'}
    assert torch.equal(weights["linear.weight"], head.linear.weight)
