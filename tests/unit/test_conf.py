"""Every configuration that is committed can be used."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from kedro.config import MissingConfigException
from pydantic import RootModel

from allears.errors import ConfigError
from allears.hooks.parameters import MODELS, check_parameters, load_model
from allears.objectives.build import build_objective
from allears.params.finetune import FinetuneParams
from allears.params.policy import Policies
from allears.params.pretrain import PretrainParams
from allears.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS
from allears.training.plan import bucket_lengths
from tests.audit_tables import STANDARD
from tests.project import environment, make_project

CONF = Path(__file__).parents[2] / "conf"
ENVIRONMENTS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "base")


def load(env: str | None, kind: str, conf: Path = CONF, **given):
    return CONFIG_LOADER_CLASS(str(conf), env=env, runtime_params=given, **CONFIG_LOADER_ARGS)[kind]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_environment_resolves_and_its_models_accept_it(env):
    check_parameters(load(env, "parameters"), {})
    assert load(env, "catalog")
    assert load(env, "mlflow")["tracking"]["experiment"]["name"] == "allears"


def test_the_recipe_for_a_gpu_is_coherent():
    """What does not follow from the models: that its numbers suit each other, and that what it names can be built."""
    values = load("gpu", "parameters")
    pretrain, tuning = (PretrainParams(**values["pretrain"]), FinetuneParams(**values["finetune"]))
    for params in (pretrain, tuning):
        assert (params.accelerator, params.precision) == ("gpu", "bf16-mixed")
    assert pretrain.reader_threads > 1
    assert 0.04 <= pretrain.optimiser.warmup_updates / pretrain.updates <= 0.25
    assert pretrain.updates % pretrain.checkpoint_every == pretrain.updates % pretrain.validate_every == 0
    assert pretrain.checkpoint_every % pretrain.log_every == 0
    assert pretrain.batch.micro_batches * pretrain.batch.seconds > 600
    assert pretrain.compile
    step = pretrain.chosen_encoder.hop_samples
    buckets = bucket_lengths(16000, int(pretrain.batch.crop_s * 16000), pretrain.batch.buckets, step)
    assert len(buckets) == pretrain.batch.buckets
    assert step / 16000 == 0.02
    masked = [each for each in pretrain.objectives.values() if hasattr(each, "mask")]
    assert len(masked) >= 3
    for objective in masked:
        assert 0.15 <= 0.02 * objective.mask.span_frames <= 0.25
        with torch.device("meta"):
            model = build_objective(objective, pretrain.chosen_encoder, seed=0)
        assert 85e6 < sum(each.numel() for each in model.exports()["encoder"].parameters()) < 100e6
    assert tuning.frozen_updates + tuning.warmup_share * tuning.updates < 0.25 * tuning.updates
    assert tuning.updates % tuning.dev_every == 0
    assert tuning.batch_clips * tuning.limits.seconds > 300
    assert tuning.limits.seconds <= pretrain.batch.crop_s


def test_a_model_is_compiled_for_few_lengths_only():
    with pytest.raises(ConfigError, match=r"pretrain\.compile is true and pretrain\.batch\.buckets 0: .*to 12"):
        check_parameters(load(None, "parameters", pretrain={"compile": True}), {})


def test_one_parameter_on_the_command_line_leaves_its_siblings_alone():
    before, after = load("local", "parameters"), load("local", "parameters", ingest={"splits": {"dev": 0.3}})
    assert after["ingest"]["splits"]["dev"] == 0.3
    assert {**after["ingest"], "splits": None} == {**before["ingest"], "splits": None}
    assert after["ingest"]["splits"] == {**before["ingest"]["splits"], "dev": 0.3}


def test_corpora_to_hear_are_given_one_by_one():
    found = load("local", "parameters", pretrain={"corpora": {"other": 0.3, "third": None}})
    assert found["pretrain"]["corpora"] == {"other": 0.3, "third": None}
    check_parameters(found, {})


def _machine(folder: Path, **files: str) -> Path:
    """A copy of the configuration with files of its own in `local`."""
    shutil.copytree(CONF, folder / "conf", ignore=lambda parent, _: ["local"] if Path(parent) == CONF else [])
    for name, text in files.items():
        (folder / "conf" / "local").mkdir(exist_ok=True)
        (folder / "conf" / "local" / f"{name}.yml").write_text(text)
    return folder / "conf"


@pytest.mark.parametrize("env", [None, "smoke", "gpu", "local", "base"])
def test_the_settings_of_this_machine_come_on_top_of_every_environment(env, tmp_path):
    local = "pretrain: {seed: 7, batch: {buckets: 3}, updates: 5}"
    conf = _machine(tmp_path, parameters_pretrain=local, catalog="mine: {type: MemoryDataset}", globals="word: yes")
    found, without = load(env, "parameters", conf), load("base" if env == "local" else env, "parameters")
    assert (found["pretrain"]["seed"], found["pretrain"]["updates"]) == (7, 5)
    assert found["pretrain"]["batch"] == {**without["pretrain"]["batch"], "buckets": 3}
    assert found["pretrain"]["encoders"] == without["pretrain"]["encoders"]
    given = load(env, "parameters", conf, pretrain={"seed": 9}, corpus="other")
    assert (given["pretrain"]["seed"], given["pretrain"]["updates"], given["paths"]["corpus"]) == (9, 5, "other")
    assert load(env, "catalog", conf)["mine"] == {"type": "MemoryDataset"}
    assert "manifest" in load(env, "catalog", conf)
    assert load(env, "globals", conf) == {"default_corpus": "sample", "word": True}


def test_without_a_folder_of_this_machine_nothing_is_missing(tmp_path):
    conf = _machine(tmp_path)
    assert not (conf / "local").exists()
    for env in (None, "base", "smoke"):
        assert load(env, "parameters", conf) == load(env, "parameters")
    with pytest.raises(MissingConfigException, match="nowhere"):
        load("nowhere", "parameters", _machine(tmp_path / "two", parameters_pretrain="pretrain: {seed: 7}"))


SESSION = """
import sys
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(".")
seed = {"pretrain": {"seed": int(sys.argv[1])}} if sys.argv[1:] else {}
with KedroSession.create(".", env="smoke", runtime_params=seed) as session:
    pretrain = session.load_context().params["pretrain"]
    print("seed", pretrain.seed, "updates", pretrain.updates)
"""


def test_a_run_in_another_environment_uses_the_settings_of_this_machine(tmp_path):
    project = make_project(tmp_path / "project")
    (project / "conf").unlink()
    _machine(project, parameters_pretrain="pretrain: {seed: 7}")
    for given, seed in ([], 7), (["9"], 9):
        done = subprocess.run(
            [sys.executable, "-c", SESSION, *given], cwd=project, env=environment(), capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert f"seed {seed} updates 20" in done.stdout


def test_credentials_may_lie_with_this_machine_alone(tmp_path):
    conf = _machine(tmp_path, credentials="bucket: {key: word}")
    assert load("smoke", "credentials", conf) == {"bucket": {"key": "word"}}


def test_the_corpus_names_all_folders():
    catalog = load("local", "catalog", corpus="mine")
    paths = [entry["filepath"] for name, entry in catalog.items() if not name.startswith("_") and "filepath" in entry]
    assert all("/mine/" in path for path in paths if path.startswith("data/"))
    assert load("local", "parameters", corpus="mine")["paths"] == {"corpus": "mine"}


def test_a_server_named_in_the_environment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert load("local", "mlflow")["server"]["mlflow_tracking_uri"] == "http://host:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert load("local", "mlflow")["server"]["mlflow_tracking_uri"] == "sqlite:///mlflow.db"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_what_the_base_says_is_what_the_model_defaults_to_knows(name):
    """Every key in the file is a field; every field without a default is in the file (checked by the models)."""
    values = yaml.safe_load((CONF / "base" / f"parameters_{name}.yml").read_text())
    assert list(values) == [name]
    model = load_model(MODELS[name])
    assert issubclass(model, RootModel) or set(values[name]) <= set(model.model_fields)


def test_one_rule_of_a_policy_can_be_changed_and_one_policy_added():
    policies = Policies.model_validate(
        load("local", "parameters", policies={
            "standard": {"noisy": {"min": 5}, "silent": {"sounds": {"max": 0.9}}, "clipped": {"of": "none"}},
            "mine": {"loud": {"measure": "rms_dbfs", "max": -3}},
        })["policies"]
    )  # fmt: skip
    before, after = STANDARD.root, policies.chosen("standard").root
    assert (after["noisy"].min, after["noisy"].measure, after["noisy"].needs_s) == (5, "snr_db", 1)
    assert (after["silent"].max, after["silent"].sounds.max, after["clipped"].of) == (0.6, 0.9, "none")
    assert {code: rule for code, rule in after.items() if code not in ("noisy", "silent", "clipped")} == {
        code: rule for code, rule in before.items() if code not in ("noisy", "silent", "clipped")
    }
    assert list(policies.chosen("mine").root) == ["loud"]


def test_the_terminal_stays_quiet_about_libraries():
    logging = yaml.safe_load((CONF / "logging.yml").read_text())
    assert logging["root"]["level"] == "WARNING"
    assert logging["loggers"]["allears"]["level"] == "INFO"


@pytest.mark.parametrize(
    ("given", "name", "described"),
    [
        ({}, "standard", "standard"),
        ({"standard": {"noisy": {"min": 5}}}, "standard", "standard, 1 rule changed"),
        ({"standard": {"noisy": {"min": 5}}}, "strict", "strict"),
        ({"standard": {"noisy": {"min": 15.0, "means": "other words"}}}, "standard", "standard"),
        ({"standard": {"noisy": {"of": "none"}, "loud": {"measure": "rms_dbfs", "max": -3}}}, "standard",
         "standard, 2 rules changed"),
        ({"mine": {"loud": {"measure": "rms_dbfs", "max": -3}}}, "mine", "mine"),
    ],
)  # fmt: skip
def test_the_name_of_a_policy_says_how_many_of_its_rules_were_changed(given, name, described):
    shipped = Policies.model_validate(yaml.safe_load((CONF / "base/parameters_policies.yml").read_text())["policies"])
    used = Policies.model_validate(load("local", "parameters", policies=given)["policies"])
    assert used.described(name, shipped) == described
