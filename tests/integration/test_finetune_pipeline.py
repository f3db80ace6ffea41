"""The finetune pipeline and the probe's nodes through Kedro's runner, with their process of their own."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from allears.checkpoints.bases import declare_base
from allears.checkpoints.export import save_export
from allears.checkpoints.heard import Heard
from allears.downstream.export import load_task_model
from allears.errors import ConfigError, StaleError
from allears.evaluation.probing import compare_encoders
from allears.models.build import build_encoder
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.evaluate import EvaluateParams
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.params.model import ConformerConfig
from allears.params.pretrain import PretrainParams
from allears.params.probe import ProbeParams
from allears.pipelines.evaluate.pipeline import create_pipeline as evaluate
from allears.pipelines.finetune.nodes import find_encoder, grid_identity
from allears.pipelines.finetune.pipeline import create_pipeline as finetune
from allears.pipelines.pretrain.probe_nodes import (
    probe_encoder,
    probe_identity,
    probe_inputs,
    probe_spec,
    probed_alike,
    summarise_probe,
)
from allears.storage.files import write_json
from allears.storage.receipt import write_receipt
from tests.public import save_wav2vec2
from tests.support import make_shards

LIMITS = ClipLimits(train=30, dev=6, test=12, seconds=3.0)
PARAMS = FinetuneParams(
    shares=(0.01, 1.0), learning_rates=(1e-2,), seeds=2, updates=4, dev_every=2, limits=LIMITS, min_class_clips=4
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    data = tmp_path_factory.mktemp("data")
    paths = Paths(corpus="tiny", data=data)
    make_shards(paths.shards, clips=60, seconds=0.5)
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    save_export(paths.models / "encoder" / "run", {"encoder": build_encoder(config, seed=9)}, {"run": "test"}, "# test")
    write_receipt(paths.models / "encoder" / "run", "run", {})
    handle = {"folder": str(paths.models / "encoder" / "run"), "modules": ["encoder"]}
    write_json(paths.models / "encoder.json", handle)
    return paths


def _run(paths: Paths, params: FinetuneParams = PARAMS) -> dict[str, object]:
    values = {
        "clips": pd.read_parquet(paths.shards / "clips.parquet"),
        "shard_set": _json(paths.shards / "shards.json"),
        "encoder": _json(paths.models / "encoder.json"),
        "params:finetune": params,
        "params:evaluate": EvaluateParams(),
        "params:audit": AuditParams(),
        "params:paths": paths,
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in values.items()})
    found = {name: data.load() for name, data in SequentialRunner().run(finetune() + evaluate(), catalog).items()}
    folder = paths.models / "finetune" / found["task_model"]["run"]
    return found | {"scores": pd.read_parquet(folder / "finetune_scores.parquet")}


def _json(path: Path) -> dict[str, object]:
    from allears.storage.files import read_json

    return dict(read_json(path))


def test_the_pipeline_trains_once_and_exports_a_model_that_predicts(paths):
    found = _run(paths)
    scores = found["scores"]
    assert set(scores["arm"]) == {"pretrained", "scratch", "random_frozen"}
    assert set(scores["share"]) == {1.0}
    model = load_task_model(Path(found["task_model"]["folder"]))
    assert model.config.classes == ("high", "low", "mid")
    provenance = _json(Path(found["task_model"]["folder"]) / "provenance.json")
    assert (provenance["corpus"], provenance["licences"], provenance["speakers"]) == ("tiny", {"CC0-1.0": 30}, 7)
    receipt = paths.models.absolute() / "finetune" / found["task_model"]["run"] / "receipt.json"
    before = receipt.stat().st_mtime_ns
    again = _run(paths)
    assert receipt.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(again["scores"], scores)


def test_a_second_encoder_meets_the_same_baselines_and_is_compared_with_the_first(paths):
    first = _run(paths)
    (baselines,) = (paths.models / "baselines").iterdir()
    before = {path: path.stat().st_mtime_ns for path in baselines.rglob("*.json")}
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    facts = {"objective": "best_rq", "corpus": "tiny", "updates": 1200, "settings": {"seed": 1}, "run": "abcdef0123"}
    other = paths.data / "06_models" / "other" / "encoder" / "abcdef012345"
    save_export(other, {"encoder": build_encoder(config, seed=4)}, facts, "# test")
    write_receipt(other, "other", {})
    second = _run(paths, PARAMS.model_copy(update={"encoder": str(other)}))
    assert {path: path.stat().st_mtime_ns for path in baselines.rglob("*.json")} == before
    one, other = (found["scores"].query("arm != 'pretrained'") for found in (first, second))
    pd.testing.assert_frame_equal(one, other)
    against = second["encoder_comparison"]
    assert against["baseline"].tolist() == ["run"]  # an export that says little of itself is called after its folder
    assert (
        against["baseline_error"].tolist()
        == first["evaluation"].query("axis == 'all'")["pretrained_error"][:1].tolist()
    )
    (other,) = _run(paths)["encoder_comparison"]["baseline"]
    assert other == "best_rq of tiny, 1,200 updates, seed 1, run abcdef01"
    frozen = _run(paths, PARAMS.model_copy(update={"frozen_updates": 2}))
    assert frozen["encoder_comparison"].empty  # the pretrained arm had other settings
    assert {path: path.stat().st_mtime_ns for path in baselines.rglob("*.json")} == before


def test_a_public_base_is_fine_tuned_as_it_is_and_named(paths, caplog):
    save_wav2vec2(paths.data / "public")
    declare_base(paths.data, "acme", paths.data / "public", "MIT", "ACME, trained on audiobooks")
    with caplog.at_level("WARNING"):
        found = _run(paths, PARAMS.model_copy(update={"encoder": "acme", "arms": ("pretrained", "scratch")}))
    assert "what that was trained on is unknown" in caplog.text
    folder = Path(found["task_model"]["folder"])
    assert _json(folder / "provenance.json")["base"]["licence"] == "MIT"
    assert load_task_model(folder).encoder.config.family == "waveform"
    assert "acme, MIT" in (folder / "README.md").read_text()
    declare_base(paths.data, "acme", paths.data / "public", "Apache-2.0", "ACME, trained on audiobooks")
    again = _run(paths, PARAMS.model_copy(update={"encoder": "acme", "arms": ("pretrained", "scratch")}))
    assert _json(Path(again["task_model"]["folder"]) / "provenance.json")["base"]["licence"] == "Apache-2.0"


def test_the_precision_is_part_of_what_a_result_is_called_and_the_machine_is_not():
    def names(**changes):
        finetune, pretrain = PARAMS.model_copy(update=changes), PretrainParams.model_validate(changes)
        return grid_identity({}, finetune), probe_identity({}, pretrain.probe, pretrain.precision)

    assert names() == names(accelerator="gpu") == names(accelerator="cpu")
    assert len({name for precision in ("auto", "32", "bf16-mixed") for name in names(precision=precision)}) == 6


def test_the_probe_runs_once_and_is_summarised(paths):
    probe = ProbeParams(shares=(1.0,), limits=LIMITS, min_clips_per_class=4, min_text_clips=8, text_updates=3)
    params = PretrainParams(probe=probe)
    inputs = (
        _json(paths.models / "encoder.json"),
        _json(paths.shards / "shards.json"),
        pd.read_parquet(paths.shards / "clips.parquet"),
        params,
        paths,
    )
    scores = probe_encoder(*inputs)
    (receipt,) = (paths.outputs / "probe").glob("*/receipt.json")
    before = receipt.stat().st_mtime_ns
    pd.testing.assert_frame_equal(probe_encoder(*inputs), scores)
    assert receipt.stat().st_mtime_ns == before
    table = summarise_probe(scores, AuditParams())
    assert table.groupby(["target", "share"])["chosen"].sum().to_dict() == {("label", 1.0): 1, ("text", 1.0): 1}
    assert set(table["repetitions"]) == {3}

    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    other = paths.data / "06_models" / "third" / "encoder" / "third"
    save_export(other, {"encoder": build_encoder(config, seed=5)}, {}, "# test")
    write_receipt(other, "third", {})
    others = ({"folder": str(other), "modules": ["encoder"]}, *inputs[1:])
    mine = probe_spec(*others)
    found = compare_encoders(probe_encoder(*others), probed_alike(mine, probe_inputs(*others[:3]), paths))
    assert set(found["baseline"]) == {"run"}
    assert set(found["target"]) == {"label", "text"}
    best = table[table["chosen"]].set_index("target")
    for row in found.to_dict("records"):  # the other one's error and layer are those of its own summary
        assert (row["baseline_error"], row["baseline_layer"]) == tuple(
            best.loc[row["target"], ["pretrained_error", "layer"]]
        )


def test_an_export_without_an_encoder_is_not_probed(paths):
    before = sorted((paths.outputs / "probe").glob("*"))
    export = {"folder": str(paths.models / "encoder" / "run"), "modules": ["decoder"]}
    scores = probe_encoder(export, _json(paths.shards / "shards.json"), pd.DataFrame(), PretrainParams(), paths)
    assert scores.empty
    assert {"target", "arm", "draw", "layer", "clip"} <= set(scores.columns)
    assert sorted((paths.outputs / "probe").glob("*")) == before


def test_an_encoder_is_found_by_corpus_or_folder(paths):
    folder = paths.models / "encoder" / "run"
    other = Paths(corpus="other", data=paths.data)
    assert find_encoder({}, PARAMS.model_copy(update={"encoder": "tiny"}), other) == (folder, "tiny", None)
    assert find_encoder({}, PARAMS.model_copy(update={"encoder": str(folder)}), other) == (folder, "run", None)


def test_a_missing_encoder_is_one_sentence_with_what_to_do(paths):
    other = Paths(corpus="other", data=paths.data)
    with pytest.raises(ConfigError, match="corpus 'other' has no encoder yet: run `kedro run --pipeline pretrain"):
        find_encoder({}, PARAMS, other)
    with pytest.raises(ConfigError, match=r"finetune\.encoder is 'tyni'.*there are: tiny"):
        find_encoder({}, PARAMS.model_copy(update={"encoder": "tyni"}), other)
    with pytest.raises(ConfigError, match=r"made no encoder \(its objective exports lm\): pretrain with another"):
        find_encoder({"folder": "somewhere", "modules": ["lm"]}, PARAMS, other)


def test_an_encoder_in_a_folder_says_whom_it_has_heard(paths, tmp_path):
    clips = pd.read_parquet(paths.shards / "clips.parquet")
    heard = Heard.of("tiny", clips.loc[clips["split"] == "train", "group"], [])
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    save_export(tmp_path / "export", {"encoder": build_encoder(config, seed=9)}, {"run": "test"}, "# test", heard)
    params = PARAMS.model_copy(update={"leave_one_group_out": True, "encoder": str(tmp_path / "export")})
    with pytest.raises(StaleError, match="has heard 7 of the 10 speakers"):
        _run(paths, params)


def test_leaving_speakers_out_that_the_encoder_has_heard_is_refused(paths):
    with pytest.raises(ConfigError, match="its own encoder has heard"):
        _run(paths, PARAMS.model_copy(update={"leave_one_group_out": True}))
