"""Bases: what is declared, what is refused, what has changed since."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from allears.checkpoints.bases import (
    base_in_words,
    declare_base,
    declared_bases,
    disclosed,
    find_base,
    trained_on_unknown,
)
from allears.checkpoints.export import load_export, save_export
from allears.checkpoints.heard import Heard
from allears.errors import AllearsError, ConfigError, StaleError, StorageError
from allears.models.build import build_encoder
from tests.contract.small import ENCODERS, small
from tests.public import save_hubert, save_wav2vec2

ORIGIN = "ACME, revision 1, trained on 960 h of audiobooks"


@pytest.fixture
def public(tmp_path):
    """A folder as transformers writes it, heads included."""
    return save_wav2vec2(tmp_path / "public", heads=True)


def declare(tmp_path, folder, name="acme", origin=ORIGIN):
    return declare_base(tmp_path / "data", name, folder, "Apache-2.0", origin)


def change(folder, name, **values):
    file = folder / name
    found = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(found | values))


def test_a_base_is_found_again_with_licence_origin_and_digest(tmp_path, public):
    declared = declare(tmp_path, public, origin=f"  {ORIGIN}\n")
    assert (declared.licence, declared.origin, declared.family) == ("Apache-2.0", ORIGIN, "waveform")
    assert declared.parameters == sum(each.numel() for each in load_export(public).parameters())
    assert find_base(tmp_path / "data", "acme", "key") == declared
    assert declared_bases(tmp_path / "data") == [declared]
    assert {name.split(".")[0] for name in declared.heads} == {"project_hid", "project_q", "quantizer"}


def test_a_hubert_is_a_base_too(tmp_path):
    found = declare(tmp_path, save_hubert(tmp_path / "hubert"))
    assert found.heads == ()
    assert load_export(found.folder).config.published_as == "hubert"


@pytest.mark.parametrize("family", ENCODERS)
def test_what_a_base_was_trained_on_is_unknown_unless_it_lists_it(tmp_path, family):
    encoder = build_encoder(small(ENCODERS[family]), 1)
    silent = save_export(tmp_path / "silent", {"encoder": encoder}, {}, "# A card")
    listing = save_export(tmp_path / "listing", {"encoder": encoder}, {}, "# A card", Heard.of("c", ["s"], ["0" * 64]))
    sentence = trained_on_unknown(declare(tmp_path, silent).model_dump())
    assert "acme" in sentence
    assert "unknown" in sentence
    assert trained_on_unknown(declare(tmp_path, listing, "other").model_dump()) == ""


def weights_changed(folder, changes):
    weights = load_file(folder / "model.safetensors")
    save_file(changes(weights), folder / "model.safetensors", {"format": "pt"})


def without_a_weight(folder):
    weights_changed(folder, lambda found: {k: v for k, v in found.items() if k != "wav2vec2.encoder.layer_norm.bias"})


def with_a_weight_more(folder):
    weights_changed(folder, lambda found: found | {"wav2vec2.encoder.gate.weight": torch.zeros(2)})


def as_a_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


REFUSED = {
    "a weight is missing": (without_a_weight, "encoder.layer_norm.bias"),
    "a weight that is not computed": (with_a_weight_more, "encoder.gate.weight"),
    "a pickle": (as_a_pickle, "pytorch_model.bin, a pickle"),
    "remote code": (lambda folder: change(folder, "config.json", auto_map={"AutoModel": "m.Model"}), "code of its own"),
    "a file of code": (lambda folder: (folder / "model.py").write_text(""), "code of its own"),
    "another family": (lambda folder: change(folder, "config.json", model_type="whisper"), "whisper"),
    "an adapter": (lambda folder: change(folder, "config.json", add_adapter=True), "add_adapter"),
    "other shapes": (lambda folder: change(folder, "config.json", hidden_size=32), "shape"),
    "samples as they are": (
        lambda folder: change(folder, "preprocessor_config.json", do_normalize=False), "do_normalize=false",
    ),
    "another rate": (
        lambda folder: change(folder, "preprocessor_config.json", sampling_rate=8000), "sampling_rate=8000",
    ),
    "several files": (
        lambda folder: (folder / "model.safetensors").rename(folder / "model.safetensors.index.json"), "several files",
    ),
    "a configuration of something else": (lambda folder: change(folder, "config.json", conv_dim=8), "TypeError"),
    "strides of nothing": (lambda folder: change(folder, "config.json", conv_stride=[0] * 7), "strides"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no folder": (shutil.rmtree, "is not a folder"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_a_base_is_refused_and_named(tmp_path, public, why):
    spoil, named = REFUSED[why]
    spoil(public)
    with pytest.raises(AllearsError) as caught:
        declare(tmp_path, public)
    assert named in str(caught.value)
    assert declared_bases(tmp_path / "data") == []


@pytest.mark.parametrize(("name", "origin"), [("Acme!", ORIGIN), ("acme", " \n")])
def test_names_and_origins_that_say_nothing_are_refused(tmp_path, public, name, origin):
    with pytest.raises(ConfigError):
        declare(tmp_path, public, name, origin)


def test_a_base_that_moved_or_changed_is_not_used(tmp_path, public):
    declare(tmp_path, public)
    weights_changed(public, lambda found: {k: v + 1e-3 for k, v in found.items()})
    with pytest.raises(StaleError, match="has changed since"):
        find_base(tmp_path / "data", "acme", "key")
    public.rename(tmp_path / "elsewhere")
    with pytest.raises(StaleError, match="is not in"):
        find_base(tmp_path / "data", "acme", "key")


def test_a_base_that_lost_a_file_is_not_used(tmp_path):
    """Without its list of speakers nobody would be protected from it; without its configuration it cannot be built."""
    encoder = build_encoder(small(ENCODERS["waveform"]), 1)
    for name in ("heard.npz", "config.json", "preprocessor_config.json"):
        folder = save_export(tmp_path / name, {"encoder": encoder}, {}, "# A card", Heard.of("c", ["s"], ["0" * 64]))
        declare(tmp_path, folder, name.split(".")[0].replace("_", "-"))
        (folder / name).unlink()
        with pytest.raises(StaleError):
            find_base(tmp_path / "data", name.split(".")[0].replace("_", "-"), "key")


def test_an_export_that_continues_a_base_brings_it_along(tmp_path, public):
    """Its own speakers are listed, but those of the public encoder before it are as unknown as ever."""
    record = disclosed(declare(tmp_path, public))
    heard = Heard.of("c", ["s"], ["0" * 64])
    for number, provenance in enumerate(
        ({"base": record}, {"extends": {"base": record}}, {"encoder": {"base": record}})
    ):
        folder = save_export(tmp_path / str(number), {"encoder": load_export(public)}, provenance, "# A card", heard)
        second = declare(tmp_path, folder, f"second-{number}")
        assert not second.lists_speakers
        assert "unknown" in trained_on_unknown(second.model_dump())
        assert "Apache-2.0" in base_in_words(second.model_dump())
        assert "ACME" in second.earlier
    assert "folder" not in record


def test_a_name_is_not_given_twice(tmp_path, public):
    first = declare(tmp_path, public)
    assert declare(tmp_path, public) == first  # the same again
    weights_changed(public, lambda found: {k: v + 1e-3 for k, v in found.items()})
    with pytest.raises(ConfigError, match="declared already"):
        declare(tmp_path, public)
    replaced = declare_base(tmp_path / "data", "acme", public, "MIT", ORIGIN, replace=True)
    assert find_base(tmp_path / "data", "acme", "key") == replaced
    (tmp_path / "data" / "06_models" / "so762").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is a corpus"):
        declare(tmp_path, public, "so762")


def test_half_precision_is_read_as_single(tmp_path, public):
    before = load_export(public).state_dict()
    weights_changed(public, lambda found: {k: v.half() for k, v in found.items()})
    declare(tmp_path, public)
    for name, value in load_export(public).state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-4)


def test_an_unknown_base_is_answered_with_those_there_are(tmp_path, public):
    with pytest.raises(ConfigError, match="none is declared yet"):
        find_base(tmp_path / "data", "acne", "pretrain.init_from")
    declare(tmp_path, public)
    with pytest.raises(ConfigError, match=r"pretrain\.init_from is 'acne'.*did you mean 'acme'"):
        find_base(tmp_path / "data", "acne", "pretrain.init_from")
    (tmp_path / "data/06_models/_bases/acme.json").write_text("{}")
    with pytest.raises(StorageError, match="declare the base again"):
        find_base(tmp_path / "data", "acme", "key")
