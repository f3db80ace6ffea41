import copy
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.validation import TypeExtractor
from pydantic import BaseModel

from allears.corpus.settings import remember
from allears.errors import ConfigError, LockedError
from allears.hooks import CorpusHook, parameters
from allears.hooks.corpus import describe
from allears.hooks.logged import asked_pipelines, gains, note_output, numbers, run_name
from allears.hooks.logged import parameters as logged_parameters
from allears.hooks.mlflow import rank
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.finetune import FinetuneParams
from allears.params.policy import Policies
from allears.params.pretrain import PretrainParams
from allears.pipeline_registry import register_pipelines
from allears.pipelines.audit import create_pipeline
from allears.storage.lock import locked
from allears.tracking import Outbox, TrackedRun
from allears.tracking.outbox import boxes, read_ops
from tests import audit_people
from tests.pretraining import audited
from tests.support import make_shards

ROOT = Path(__file__).parents[2]
POLICIES = yaml.safe_load((ROOT / "conf/base/parameters_policies.yml").read_text())["policies"]
VALID = {"corpus": "mine", "paths": {"corpus": "mine"}, "pretrain": {}, "finetune": {}, "policies": POLICIES}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"corpsu": "x"}, r"'corpsu' is not known; did you mean 'corpus'\? Valid are corpus, paths, ingest"),
        ({"zzz": "x"}, r"'zzz' is not known\. Valid are"),
        ({"corpus": 3}, r"corpus: expected a name, found 3"),
        ({"pretrain": {"shards_from": "copies/mine"}}, "copies/mine, which is neither a URL nor an absolute path"),
        ({"pretrain": {"shards_from": ["s3://a/b", "/c", "~/d", "file://e"]}}, "names file://e, which is neither"),
        ({"cost": {"country": "Germany"}}, r"cost\.country is 'Germany', .* such as FRA, or null.*did you mean 'DEU'"),
        ({"cost": {"country": 3}}, r"cost\.country: expected a valid string, found 3"),
        ({"ingest": {"limt": 3}}, r"'ingest\.limt' is not known; did you mean 'limit'\? Valid under 'ingest': path"),
        ({"ingest": {"splits": {"tset": 1}}}, r"'ingest\.splits\.tset' .*'test'\? Valid under 'ingest\.splits': dev"),
        ({"ingest": {"limit": "x"}}, r"ingest\.limit: expected a valid integer.*found 'x'"),
        ({"ingest": {"limit": 0}}, r"ingest\.limit: expected greater than or equal to 1, found 0"),
        ({"ingest": {"layout": "wav"}}, r"ingest\.layout: expected 'librispeech'.*'plain', found 'wav'"),
        ({"ingest": {"segment_max_s": 4, "min_duration_s": 3}}, r"^ingest\.min_duration_s .* at most half"),
        (
            {"pretrain": {"objectives": {"masked_units": {"intermediate_blocks": [2, 6]}}}},
            r"^pretrain\.objectives\.masked_units\.intermediate_blocks names \[6\]; .* use numbers from 1 to 5$",
        ),
        (
            {"pretrain": {"corpora": {"a": 0.6, "b": 0.4, "c": None}}},
            r"^the shares of pretrain\.corpora \(a 0\.6, b 0\.4\) leave nothing for the corpus itself",
        ),
        ({"pretrain": {"corpora": {"a": "x"}}}, r"pretrain\.corpora\.a: expected a valid number.*found 'x'"),
        ({"finetune": {"seed": -1}}, r"finetune\.seed: expected greater than or equal to 0, found -1"),
        ({"pretrain": {"units": {"seed": -1}}}, r"pretrain\.units\.seed: expected greater than or equal to 0"),
        ({"pretrain": {"probe": {"seed": -1}}}, r"pretrain\.probe\.seed: expected greater than or equal to 0"),
        ({"audit": {"policy": "strikt"}}, r"no policy 'strikt'; did you mean 'strict'\?.* lenient, strict"),
        ({"audit": {"keep_despite": ["noise"]}}, r"'noise' is no soft reason of .*; did you mean 'noisy'\?"),
        (
            {"audit": {"keep_despite": ["speaker_leak"]}},
            r"'speaker_leak' is no soft reason .* Valid are silent, noisy",
        ),
        ({"policies": {"standard": {"noisy": {"measur": "x"}}}}, r"'policies\.standard\.noisy\.measur' .*'measure'\?"),
        ({"policies": {"standard": {"a": {"measure": "snr", "min": 1}}}}, r"no measure 'snr'; did you mean 'snr_db'\?"),
        (
            {"policies": {"standard": {"a": {"measure": "snr_db", "min": "x"}}}},
            r"\.a\.min: .*number.*found 'x'",
        ),
        ({"engine": {"kind": "rya"}}, r"engine\.kind: expected 'processes' or 'ray', found 'rya'"),
        ({"engine": {"address": "ray://127.0.0.1:10001"}}, r"engine\.address: expected HOST:PORT .*found 'ray://127"),
        ({"evaluate": {"axis": []}}, r"'evaluate\.axis' is not known; did you mean 'axes'\?"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_valid(values, said):
    with pytest.raises(ConfigError, match=said):
        parameters.check_parameters(VALID | values, {})


def test_the_folders_cannot_be_set():
    with pytest.raises(ConfigError, match="follow from 'corpus'"):
        parameters.check_parameters(VALID, {"paths": {"data": "/tmp"}})  # noqa: S108


def test_no_more_than_a_screen_of_mistakes():
    wrong = {f"x{i}": 1 for i in range(9)}
    with pytest.raises(ConfigError) as caught:
        parameters.check_parameters(VALID | {"ingest": wrong}, {})
    assert str(caught.value).endswith("… and 4 more")


def test_each_model_is_the_one_that_the_nodes_ask_for():
    bootstrap_project(ROOT)
    asked = TypeExtractor(register_pipelines()).extract_types_from_pipelines()
    assert asked.pop("paths") is Paths
    for key, model in asked.items():
        top = key.split(".")[0]
        assert issubclass(model, BaseModel), key
        if key == top:
            assert parameters.load_model(parameters.MODELS[top]) is model
    of_no_node = {"engine", "cost"}  # where work is done, and with whose electricity
    assert set(parameters.MODELS) == of_no_node | {key.split(".")[0] for key in asked}


def test_hooks_import_nothing_heavy():
    source = (ROOT / "src/allears/hooks").rglob("*.py")
    for file in source:
        assert "import torch" not in file.read_text(), file
    importlib.import_module("allears.hooks")


def test_the_corpus_line_names_version_folder_layout_and_licence(tmp_path):
    (tmp_path / "rec" / "a").mkdir(parents=True)
    settings = remember(
        Paths(corpus="mine", data=tmp_path), "mine", path=str(tmp_path / "rec"), licence="CC0-1.0", layout="plain"
    )
    line = describe(settings, "abc")
    for part in ("mine", "version abc", str(tmp_path / "rec"), "plain", "CC0-1.0"):
        assert part in line
    assert "none yet" in describe(settings, None)


def test_names_in_brackets_are_said_as_they_are(tmp_path, capsys):
    folder = tmp_path / "rec [final][/x]:smile:"
    (folder / "a").mkdir(parents=True)
    settings = remember(
        Paths(corpus="mine", data=tmp_path), "mine", path=str(folder), licence="CC0-1.0", layout="plain"
    )
    CorpusHook()._console.print(describe(settings, "abc"))
    assert str(folder) in capsys.readouterr().err


def test_what_is_logged_is_no_markup():
    """In a process of its own: Kedro's handler takes over the warnings."""
    code = "import logging, logging.config, sys, yaml; logging.config.dictConfig(yaml.safe_load(open(sys.argv[1])));"
    code += "logging.getLogger('allears.x').info('source %s', 'rec [final][/x] :smile:')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "conf" / "logging.yml")],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert "source rec [final][/x] :smile:" in done.stdout + done.stderr


def test_only_the_first_rank_tracks(monkeypatch):
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert rank() == 0
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert rank() == 3


def test_pipelines_are_named_in_the_order_of_the_data():
    asked = {"pretrain", "shard", "ingest", "audit"}  # as Kedro keeps them
    assert asked_pipelines({"pipeline_names": asked}) == ["ingest", "audit", "shard", "pretrain"]
    assert asked_pipelines({"pipeline_names": None}) == ["__default__"]


def test_the_numbers_of_a_summary_become_metrics():
    summary = {"clips": 3, "kept": {"hours": 0.5, "why": "x", "all": True}, "list": [1, 2], "none": None}
    assert numbers(summary, "audit") == {"audit.clips": 3.0, "audit.kept.hours": 0.5}


def test_what_a_comparison_found_becomes_metrics():
    numbers_of = {"baseline_error": 0.5, "pretrained_error": 0.3, "gain": 0.2, "low": 0.1, "high": 0.3}
    row = {"target": "text", "share": 0.1, "baseline": "random", "assessable": True} | numbers_of
    few = row | {"share": 1.0, "assessable": False}
    probe = pd.DataFrame([row | {"chosen": True}, row | {"chosen": False, "gain": 9.0}, few | {"chosen": True}])
    assert gains(probe, "probe", "random") == {"probe.text.pretrained_error": 0.3, "probe.text.gain": 0.2}
    more = pd.DataFrame([row | {"share": 0.01, "gain": 9.0}, row, row | {"baseline": "scratch", "gain": 9.0}])
    assert gains(more, "probe", "random")["probe.text.gain"] == 0.2
    by_group = pd.DataFrame([row | {"axis": "all"}, row | {"axis": "gender", "gain": 9.0}])
    assert gains(by_group, "evaluation", "random")["evaluation.text.gain"] == 0.2
    assert gains(by_group.iloc[:0], "evaluation", "random") == {}
    two = pd.DataFrame([row | {"axis": "all", "task": task} for task in ("ctc", "other")])
    assert {name.rpartition(".")[0] for name in gains(two, "evaluation", "random")} == {
        "evaluation.text (ctc)", "evaluation.text (other)",
    }  # fmt: skip


def test_an_export_is_registered_where_it_holds_an_encoder(tmp_path):
    run = TrackedRun(Outbox(tmp_path / "outbox", "run"), "run", "r", {})
    catalog = DataCatalog({"params:paths": MemoryDataset(Paths(corpus="mine"))})
    note_output(run, "encoder", {"folder": str(tmp_path)}, catalog)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    note_output(run, "encoder", {"folder": str(tmp_path)}, catalog)
    run.box.close()
    ops = [op for box in boxes(tmp_path / "outbox") for op, _ in read_ops(box)]
    assert [op["name"] for op in ops if op["op"] == "model"] == ["allears-encoder-mine"]


def test_rules_that_are_set_aside_and_the_comparison_of_splits_are_tables_in_mlflow(tmp_path):
    box = Outbox(tmp_path, "f" * 32)
    run = TrackedRun(box, "f" * 32, "mine audit", {"corpus": "mine"})
    rows = [{"speaker": f"p{i}"} for i in range(40)]
    note_output(
        run, "audit_summary", audit_people.audited(rows, [{"snr_db": 0.0}] * 30 + [{}] * 10).summary(), DataCatalog()
    )
    note_output(run, "split_comparison", pd.DataFrame({"split": ["train"], "clips": [40]}), DataCatalog())
    note_output(run, "split_differences", pd.DataFrame({"measure": ["snr_db"], "differs": [True]}), DataCatalog())
    box.close()
    tables = box.folder / "files" / "ffffffff" / "tables"
    names = {"audit_summary", "set_aside", "split_comparison", "split_differences"}
    assert {file.stem for file in tables.iterdir()} == names
    table = json.loads((tables / "set_aside.json").read_text())
    assert [dict(zip(table["columns"], row, strict=True)) for row in table["data"]] == [
        {
            "rule": "noisy", "means": POLICIES["standard"]["noisy"]["means"], "measure": "snr_db",
            "clips": 30, "judged": 40, "share": 0.75,
        }
    ]  # fmt: skip


def test_a_language_model_of_units_is_a_table_and_metrics_in_mlflow(tmp_path):
    box = Outbox(tmp_path, "f" * 32)
    run = TrackedRun(box, "f" * 32, "mine pretrain", {"corpus": "mine"})
    row = {"language": "all", "perplexity": 26.4, "trigram": 36.6, "gain": 0.33, "continuation": float("nan")}
    scores = pd.DataFrame([row, row | {"language": "en", "perplexity": 9.0}])
    note_output(run, "unit_scores", scores.iloc[:0], DataCatalog())
    note_output(run, "unit_scores", scores, DataCatalog())
    box.close()
    assert [file.stem for file in (box.folder / "files" / "ffffffff" / "tables").iterdir()] == ["unit_scores"]
    values = {}
    for each in boxes(tmp_path):
        for op, _ in read_ops(each):
            values |= op.get("values", {}) if op["op"] == "metrics" else {}
    assert values == {"next_unit.perplexity": 26.4, "next_unit.trigram_perplexity": 36.6, "next_unit.gain": 0.33}


def test_a_run_s_name_says_what_was_asked():
    asked = {"audit": AuditParams(policy="strict"), "pretrain": PretrainParams(objective="best_rq", seed=3)}
    assert run_name(["__default__"], "mine", asked) == "mine all, strict, best_rq, seed 3"
    assert run_name(["ingest", "audit"], "mine", {"audit": asked["audit"]}) == "mine ingest+audit, strict"
    assert run_name(["finetune"], "mine", {"finetune": FinetuneParams(seed=1)}) == "mine finetune, seed 1"


def test_an_unused_corpus_hook_holds_nothing():
    CorpusHook().on_pipeline_error()


def test_a_pretraining_holds_the_corpora_that_it_hears_and_nothing_else_does(tmp_path, capsys):
    hook = CorpusHook()
    for name in ("mine", "other"):
        (tmp_path / name / "a").mkdir(parents=True)
        (tmp_path / name / "a" / "x.wav").write_bytes(b"")
        paths = Paths(corpus=name, data=tmp_path / "data")
        remember(paths, name, path=str(tmp_path / name), licence="CC0-1.0", layout="plain")
        make_shards(paths.shards, clips=10)
        audited(paths, "v")
    lock = tmp_path / "data" / ".locks" / "other.lock"
    hook._paths = Paths(corpus="mine", data=tmp_path / "data")
    hook._pretrain = PretrainParams(corpora={"other": 0.3})
    bootstrap_project(ROOT)
    pipelines = register_pipelines()
    whatever_there_is = {"only_missing_outputs": True}
    with locked(lock, "allears withdraw"):
        hook.before_pipeline_run(whatever_there_is, pipelines["finetune"], DataCatalog())
        with pytest.raises(LockedError, match=r"(?s)in use by .*allears withdraw"):
            hook.before_pipeline_run(whatever_there_is, pipelines["pretrain"], DataCatalog())
    hook.before_pipeline_run(whatever_there_is, pipelines["pretrain"], DataCatalog())
    assert "Heard with it: Corpus other" in capsys.readouterr().err
    with pytest.raises(LockedError, match="of corpus 'mine'"), locked(lock, "allears withdraw"):
        pass
    hook.on_pipeline_error()
    with locked(lock, "allears withdraw"):
        hook._pretrain = PretrainParams(corpora={"mine": 0.3})
        with pytest.raises(ConfigError, match="the corpus itself"):
            hook.before_pipeline_run(whatever_there_is, pipelines["pretrain"], DataCatalog())


def test_mlflow_is_told_how_many_rules_of_the_policy_were_changed():
    used = copy.deepcopy(POLICIES)
    used["standard"]["noisy"]["min"] = 5
    catalog = DataCatalog(
        {
            "params:audit": MemoryDataset(AuditParams()),
            "params:policies": MemoryDataset(Policies.model_validate(used)),
            "params:paths": MemoryDataset(Paths(corpus="mine")),
            "shipped_policies": MemoryDataset({"policies": POLICIES}),
        }
    )
    logged = logged_parameters(create_pipeline().only_nodes("judge_clips"), catalog)
    assert logged["policy"] == "standard, 1 rule changed"
    assert logged["policies"]["noisy"]["min"] == 5
