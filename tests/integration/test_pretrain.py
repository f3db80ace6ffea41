"""`pretrain` as a pipeline, on small synthetic shards: twice, extended, with the other objective, and on bad input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModel

from allears.checkpoints.export import load_export
from allears.checkpoints.heard import load_heard
from allears.checkpoints.known import encoder_name
from allears.checkpoints.steps import CHECKPOINTS, step_file, steps
from allears.checkpoints.trained import trained_on
from allears.checkpoints.training_state import data_of, load_state
from allears.cli.stages import _pretrain_is_fresh
from allears.errors import ConfigError, StaleError, TrainingError
from allears.params.base import Paths
from allears.params.pretrain import PretrainParams
from allears.pipelines.pretrain import runs
from allears.pipelines.pretrain.corpora import find_others
from allears.pipelines.pretrain.probe_nodes import probe_encoder
from allears.pipelines.report.nodes import write_model_card
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.storage.files import read_json, write_json
from allears.tracking.current import entered
from allears.tracking.outbox import Outbox, boxes, read_ops
from allears.tracking.run import TrackedRun
from allears.types import Padded
from tests.pretrain_pipeline import NO_EVALUATION, NOT_TUNED, PROBE, changed, run
from tests.pretraining import audited, tiny
from tests.support import make_shards


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(corpus="tiny", data=tmp_path_factory.mktemp("data"))
    make_shards(paths.shards, clips=60)
    return paths


def test_from_shards_to_an_encoder_that_others_load(
    paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    params = tiny(objective="masked_units", probe=PROBE)
    data = run(paths, params)
    said = capfd.readouterr().out
    for words in ("60 of 66", "noisy 3, byte_duplicate 1", "zero_byte 2", "8 updates", "Probe on held-out speakers"):
        assert words in said

    pretrained, folder = data["pretrained"], Path(data["encoder"]["folder"])
    assert pretrained["updates"] == 8
    assert pretrained["hours_heard"] == pytest.approx(data["pretrain_plan"]["hours_planned"])
    provenance = read_json(folder / "provenance.json")
    assert provenance["data_digest"] == "f" * 64
    assert provenance["licences"] == {"CC0-1.0": 42}  # clips of the seven training speakers, and no others
    assert provenance["speakers"] == 7

    ours, theirs = load_export(folder), AutoModel.from_pretrained(folder).eval()
    audio = Padded(torch.randn(1, 8000) * 0.1, torch.tensor([8000]), full=True)
    features = ours.features(audio).data
    with torch.no_grad():
        expected = theirs(input_features=features).last_hidden_state
        torch.testing.assert_close(ours(audio).last_BFD, expected, rtol=1e-4, atol=1e-5)

    before = changed(paths)
    again = run(paths, params)
    assert changed(paths) == before  # nothing labelled, trained, exported or probed again
    assert again["pretrained"] == pretrained
    assert again["probe"].equals(data["probe"])


def test_a_training_that_is_handed_over_is_adopted_when_it_is_done(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    params = tiny(updates=4, launch="external")
    with pytest.raises(TrainingError, match=r"torchrun .* -m allears.training.run") as told:
        run(paths, params, until="encoder")
    spec = Path(re.search(r"its spec is (\S+)\. On", str(told.value))[1])
    command = [sys.executable, "-m", "allears.training.run", spec]
    clips = pd.read_parquet(paths.shards / "clips.parquet")
    try:  # a node may begin long after an audit that selects other clips
        clips.assign(keep=clips["keep"] & (clips["speaker"] != "speaker-0")).to_parquet(paths.shards / "clips.parquet")
        late = subprocess.run(command, check=False, capture_output=True, text=True)
        assert late.returncode == 1
        assert "was planned on other batches than those found now" in late.stderr
    finally:
        clips.to_parquet(paths.shards / "clips.parquet")
    subprocess.run(command, check=True)  # as torchrun does
    box = Outbox(tmp_path, "run")
    with entered(TrackedRun(box, "run", "tiny pretrain", {})):
        assert run(paths, params, until="encoder")["pretrained"]["updates"] == 4
        run(paths, params, until="encoder")
    box.close()
    ops = [op for each in boxes(tmp_path) for op, _ in read_ops(each)]
    assert [op["name"] for op in ops if op["op"] == "start" and op["parent"]] == [
        "pretrain best_rq on tiny, seed 0"
    ]  # it is told once
    assert [Path(op["path"]) for op in ops if op["op"] == "follow"] == [spec.parent / "events.jsonl"]


def test_extending_needs_a_run_of_the_same_model(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = run(paths, tiny(updates=3), until="encoder")["pretrained"]
    more = run(paths, tiny(updates=2, extend=first["run"][:6]), until="encoder")
    assert more["pretrained"]["updates"] == 5
    assert more["pretrained"]["hours_heard"] > first["hours_heard"]
    provenance = read_json(Path(more["encoder"]["folder"]) / "provenance.json")
    assert provenance["extends"]["run"] == first["run"]
    with pytest.raises(ConfigError, match=r"pretrain\.extend is 'zzz': no run with a checkpoint .*there are"):
        run(paths, tiny(extend="zzz"), until="encoder")
    wider = {"conformer": {"width": 32, "blocks": 2, "heads": 2, "ffn_width": 32, "kernel_frames": 3}}
    with pytest.raises(TrainingError, match=r"cannot be extended: pretrain\.encoder must be the same"):
        run(paths, tiny(updates=2, extend=first["run"], encoders=wider), until="encoder")


def test_a_run_that_stopped_goes_on_in_other_batches_at_a_named_epoch(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it had heard by then is in the list and the licences of the run that extends it, though it was never
    exported and the clips have changed.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings: dict[str, Any] = {"objectives": {"best_rq": {"codebooks": 1, "codes": 512}}, "checkpoint_every": 1}
    guards = {"collapse_perplexity": 30.0, "patience_updates": 6}  # the targets use more codes, the predictions fewer
    with pytest.raises(TrainingError, match="the predictions collapsed"):
        run(paths, tiny(updates=40, guards=guards, **settings), until="encoder")
    (stopped,) = runs.stopped(paths)
    clips = pd.read_parquet(paths.shards / "clips.parquet")
    fewer = clips.assign(keep=clips["keep"] & (clips["speaker"] != "speaker-0"))
    try:
        fewer.to_parquet(paths.shards / "clips.parquet")
        changes = r"Changed: the clips that are selected .*, the number of clips selected \(then 42, now 36\)\."
        with pytest.raises(TrainingError, match=changes) as error:
            run(paths, tiny(updates=2, extend=stopped.name, **settings), until="encoder")
        assert f"run {stopped.name} of this corpus stopped" not in capfd.readouterr().out  # it is what is asked for
        epoch = int(str(error.value).rsplit("=", 1)[1])
        params = tiny(updates=2, extend=stopped.name, from_epoch=epoch, **settings)
        more = run(paths, params, until="encoder")
        before = changed(paths)
        assert run(paths, params, until="encoder")["pretrained"] == more["pretrained"]
        assert changed(paths) == before
        chain = run(paths, tiny(updates=2, extend=more["pretrained"]["run"], **settings), until="pretrained")
        run(paths, tiny(updates=2, seed=7), until="pretrained")
        assert f"run {stopped.name} of this corpus stopped" in capfd.readouterr().out
    finally:
        clips.to_parquet(paths.shards / "clips.parquet")
    state = data_of(load_state(step_file(stopped / CHECKPOINTS, steps(stopped / CHECKPOINTS)[-1])))
    hours = [state["length"] / 57.6e6]
    for each in (more, chain):  # the plan counts what the epoch that was named holds
        hours.append(each["pretrained"]["hours_heard"])
        assert each["pretrain_plan"]["hours_planned"] == pytest.approx(hours[-1] - hours[-2], abs=1e-6)
    folder = Path(more["encoder"]["folder"])
    assert load_heard(folder).knows_group("tiny", ["speaker-0"])
    provenance = read_json(folder / "provenance.json")
    assert provenance["licences"] == {"CC0-1.0": 42}
    assert provenance["clips"] == 36
    assert provenance["extends"]["run"] == stopped.name
    assert [provenance["extends"][name] for name in ("data_digest", "clips", "speakers")] == ["f" * 64, 42, 7]
    assert f"| heard before, in run {stopped.name} | tiny, version `{'f' * 12}`" in (folder / "README.md").read_text()
    pcm = read_index(ShardSet.from_json(read_json(paths.shards / "shards.json"))).pcm_sha256[:1]  # of speaker-0
    found = {(one.kind, one.folder, one.clips) for one in trained_on(paths.data, "tiny", pcm=pcm, shards=())}
    assert {("pretraining", str(stopped), 1), ("encoder", str(folder), 1)} <= found


def test_speakers_that_were_heard_are_not_tested_on_when_the_splits_change(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = run(paths, tiny(updates=3, probe=PROBE), until="encoder")
    clips = pd.read_parquet(paths.shards / "clips.parquet")
    swapped = clips.assign(split=clips["split"].map({"train": "test", "dev": "dev", "test": "train"}))
    swapped.to_parquet(paths.shards / "clips.parquet")
    try:
        with pytest.raises(StaleError, match="has heard 7 of the 8 speakers"):
            run(paths, tiny(updates=2, extend=first["pretrained"]["run"]), until="pretrain_plan")
        shards = json.loads((paths.shards / "shards.json").read_text())
        with pytest.raises(StaleError, match="Pretrain on it again: kedro run"):
            probe_encoder(first["encoder"], shards, swapped, PretrainParams(probe=PROBE), paths)
    finally:
        clips.to_parquet(paths.shards / "clips.parquet")


def test_a_corpus_without_enough_to_hear_ends_before_anything_is_trained(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="smaller than one batch"):
        run(paths, tiny(batch={"seconds": 1000.0}), until="pretrained")
    bare = Paths(corpus="bare", data=tmp_path)
    make_shards(bare.shards, clips=20)
    clips = pd.read_parquet(bare.shards / "clips.parquet")
    clips.assign(keep=clips["split"] != "train").to_parquet(bare.shards / "clips.parquet")
    with pytest.raises(TrainingError, match=r"no clip to train on: .* 14 of train speakers; the audit keeps none"):
        run(bare, tiny(), until="pretrained")
    assert not bare.models.exists()


def test_several_corpora_are_heard_and_named_everywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    caplog.set_level("INFO")
    mine, other = Paths(corpus="mine", data=tmp_path), Paths(corpus="other", data=tmp_path)
    make_shards(mine.shards, clips=60)
    shard_set, clips = make_shards(other.shards, clips=20, seed=1)
    table = pd.read_parquet(clips)
    table.assign(licence="CC-BY-4.0").to_parquet(clips)
    alone = run(mine, tiny(), until="pretrain_plan")
    params = tiny(objective="masked_units", probe=PROBE, corpora={"other": 0.4})
    with pytest.raises(StaleError, match="names 'other', which was not audited since"):
        run(mine, params, until="pretrain_plan")
    audited(other, "e" * 64)
    data = run(mine, params)
    assert "other: 40.0 % of the audio, 14 clips" in caplog.text
    assert "other: 40.0 % of the audio" in capfd.readouterr().out

    assert data["pretrain_plan"]["plan"] != alone["pretrain_plan"]["plan"]
    provenance = read_json(Path(data["encoder"]["folder"]) / "provenance.json")
    assert provenance["licences"] == {"CC0-1.0": 42, "CC-BY-4.0": 14}
    assert [(one["corpus"], one["data_digest"]) for one in provenance["corpora"]] == [
        ("mine", "f" * 64), ("other", "e" * 64),
    ]  # fmt: skip
    assert provenance["corpora"][1]["shards"] == shard_set.digest
    assert encoder_name(Path(data["encoder"]["folder"])).startswith("masked_units of mine and other, 8 updates")
    for card in (
        (Path(data["encoder"]["folder"]) / "README.md").read_text(),
        write_model_card(data["pretrained"], data["encoder"], data["probe"], NO_EVALUATION, NOT_TUNED, mine),
    ):
        for words in ("other", "40.0 %", "CC-BY-4.0", "e" * 12):
            assert words in card

    index, train = read_index(shard_set), table["split"] == "train"
    pcm = [index.pcm_sha256[place] for place in train.to_numpy().nonzero()[0]]
    for asked in ({"pcm": pcm[:1]}, {"pcm": [], "groups": ["speaker-0"]}):
        (model,) = trained_on(tmp_path, "other", shards=[], **asked)
        assert (model.kind, model.corpus, model.folder) == ("encoder", "mine", data["encoder"]["folder"])
    shutil.rmtree(data["encoder"]["folder"])  # now nothing tells but what the training was given
    (left,) = trained_on(tmp_path, "other", pcm=pcm[:1], shards=[shard_set.digest])
    assert (left.kind, left.corpus, Path(left.folder).name) == ("pretraining", "mine", data["pretrained"]["run"])

    again = run(mine, params, until="encoder")
    assert again["pretrained"] == data["pretrained"]
    write_json(mine.shards / "pretrain_plan.json", again["pretrain_plan"])
    write_json(mine.models / "pretrained.json", again["pretrained"])
    assert _pretrain_is_fresh(mine)
    table.assign(keep=table["split"] != "dev").to_parquet(clips)
    assert _pretrain_is_fresh(mine)  # no clip that it heard has changed
    table.assign(weight=0.5).to_parquet(clips)
    assert not _pretrain_is_fresh(mine)

    table.to_parquet(clips)
    labelled = changed(other)
    unlike = {"objective": "masked_units", "probe": PROBE, "updates": 2, "extend": data["pretrained"]["run"]}
    with pytest.raises(TrainingError, match=r"cannot be extended: pretrain\.units must be the same"):
        run(mine, tiny(**unlike, units={"normalise": "none"}), until="encoder")
    assert changed(other) == labelled


def test_a_corpus_to_hear_must_be_another_and_have_shards(paths: Paths) -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.corpora names 'tiny', the corpus itself"):
        run(paths, tiny(corpora={"tiny": 0.3}), until="pretrain_plan")
    with pytest.raises(ConfigError, match=r"names 'tinny', which has no shards.*kedro run .*corpus=tinny"):
        run(paths, tiny(corpora={"tinny": 0.3}), until="pretrain_plan")


@pytest.mark.parametrize(
    ("table", "change"),
    [("verdicts", {"verdict": "hard"}), ("selection", {"keep": False}), ("selection", {"weight": 2.0})],
)
def test_a_corpus_that_was_audited_again_must_be_sharded_again(
    tmp_path: Path, table: str, change: dict[str, object]
) -> None:
    mine, other = Paths(corpus="mine", data=tmp_path), Paths(corpus="other", data=tmp_path)
    make_shards(other.shards, clips=20)
    audited(other, "v")
    assert len(find_others(tiny(corpora={"other": 0.4}), mine)) == 1
    file = other.primary / f"{table}.parquet"
    rows = pd.read_parquet(file)
    for name, value in change.items():
        rows.loc[3, name] = value
    rows.to_parquet(file)
    with pytest.raises(StaleError, match=r"'other', whose shards are of another version, or of other verdicts"):
        find_others(tiny(corpora={"other": 0.4}), mine)
