"""Fine-tuning and the probe on small real shards, in this process: what they write, that they go on, that they pair."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from allears.checkpoints.export import save_export
from allears.checkpoints.heard import load_heard
from allears.downstream import arm, finetune, probe
from allears.downstream.export import load_task_model
from allears.downstream.grid import plan_tasks
from allears.downstream.labels import limited, read_labelled
from allears.downstream.subsets import share_of
from allears.downstream.text_judge import open_judge
from allears.errors import ConfigError
from allears.evaluation.breakdown import compare
from allears.models.build import build_encoder
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.params.model import ConformerConfig
from allears.params.probe import ProbeParams
from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_probe import ProbeSpec
from allears.shards.reader import ShardReader
from allears.types import Padded
from tests.support import make_shards

LIMITS = ClipLimits(train=60, dev=20, test=30, seconds=3.0)
PARAMS = FinetuneParams(
    shares=(0.01, 0.5, 1.0), learning_rates=(1e-3, 1e-2), seeds=2, updates=6, dev_every=3, limits=LIMITS,
    min_class_clips=4, min_text_clips=8, task="all", workers=1,
)  # fmt: skip
PROBE = ProbeParams(
    shares=(0.5, 1.0), limits=LIMITS, min_clips_per_class=4, min_text_clips=8, text_updates=5, workers=2
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Shards, their table, and the export of a small encoder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finetune")
    shard_set, clips = make_shards(folder / "shards", clips=90, seconds=0.6)
    config = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32)
    save_export(folder / "encoder", {"encoder": build_encoder(config, seed=9)}, {"run": "test"}, "# test")
    return folder, shard_set, clips


def _spec(home, name: str, params: FinetuneParams = PARAMS) -> FinetuneSpec:
    folder, shard_set, clips = home
    (folder / name).mkdir(exist_ok=True)
    return FinetuneSpec(
        corpus="tiny",
        folder=folder / name, identity=name, shard_set=shard_set.to_json(), clips=clips, encoder=folder / "encoder",
        baselines=folder / f"{name}-baselines", finetune=params,
        plans=plan_tasks(clips, params, shard_set.sample_rate_hz),
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(home) -> FinetuneSpec:
    spec = _spec(home, "whole")
    finetune.run(spec)
    return spec


def test_a_share_with_too_few_clips_a_class_is_skipped_and_says_so(tuned):
    for plan in tuned.plans:
        assert plan.shares == (0.5, 1.0)
        assert len(plan.skipped) == 1
        assert "0.01 of the labels leaves" in plan.skipped[0]


def test_every_arm_share_and_seed_is_scored_once_on_the_same_test_clips(tuned):
    scores = pd.read_parquet(tuned.folder / "finetune_scores.parquet")
    cells = scores.groupby(["task", "arm", "share", "seed"])
    assert cells.ngroups == 2 * 3 * 2 * 2
    assert cells["learning_rate"].nunique().eq(1).all()
    assert cells["clip"].agg(lambda clips: tuple(sorted(clips))).groupby("task").nunique().eq(1).all()
    assert set(scores["group"]) == {"speaker-8", "speaker-9"}


def test_learning_rate_and_head_are_the_best_on_dev_speakers_of_two_that_all_seeds_tried(tuned):
    scores = pd.read_parquet(tuned.folder / "finetune_scores.parquet")
    curves = pd.read_parquet(tuned.folder / "finetune_curves.parquet")
    place, option = ["task", "arm", "share"], ["learning_rate", "head"]
    tried = curves.groupby([*place, *option, "seed"], as_index=False)["dev_errors"].min()
    for where, part in tried.groupby(place):
        first, repeated = part[part["seed"] == 0], part[part["seed"] == 1]
        assert (len(first), len(repeated)) == (4 if where[0] == "ctc" else 2, 2)
        both = part.merge(repeated[option])
        assert sorted(both.loc[both["seed"] == 0, "dev_errors"]) == sorted(first["dev_errors"])[:2]
        sums = both.groupby(option)["dev_errors"].sum()
        (chosen,) = scores.set_index(place).sort_index().loc[where, option].drop_duplicates().itertuples(index=False)
        assert sums[tuple(chosen)] == sums.min()


def test_the_task_model_predicts_what_its_cell_scored(home, tuned):
    from allears.storage.receipt import read_receipt

    notes = read_receipt(tuned.folder, tuned.identity)
    scores = pd.read_parquet(tuned.folder / "finetune_scores.parquet").query("arm == 'pretrained' and share == 1.0")
    for name, found in notes["models"].items():
        model = load_task_model(Path(found["folder"]))
        task = name.split("-")[0]
        rows = scores[(scores["task"] == task) & (scores["seed"] == found["seed"])]
        said = dict(zip(rows["clip"], rows["prediction"], strict=True))
        with ShardReader(home[1]) as reader:
            audio = {clip: torch.from_numpy(reader.read(reader.index.position[clip]))[None] for clip in list(said)[:10]}
        again = {
            clip: model.predict(model.encoder.features(Padded(sound, torch.tensor([sound.shape[1]]))))[0]
            for clip, sound in audio.items()
        }
        assert again == {clip: said[clip] for clip in again}


def test_a_killed_grid_goes_on_and_ends_like_one_that_was_not(home, tuned, monkeypatch):
    spec, done = _spec(home, "killed"), []
    real = arm.fit

    def dies(*arguments):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(arm, "fit", dies)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(spec)
    monkeypatch.setattr(arm, "fit", lambda *arguments: (done.append(1), real(*arguments))[1])
    finetune.run(spec)
    assert len(done) == 3 * 2 * (
        2 + 2 + 4 + 2
    )  # arms, shares; two rates with both seeds; rates and heads of text, two of them twice
    pd.testing.assert_frame_equal(
        pd.read_parquet(spec.folder / "finetune_scores.parquet"),
        pd.read_parquet(tuned.folder / "finetune_scores.parquet"),
    )
    finetune.run(spec)
    assert len(done) == 3 * 2 * (
        2 + 2 + 4 + 2
    )  # arms, shares; two rates with both seeds; rates and heads of text, two of them twice


def test_weights_and_scores_that_somebody_deleted_are_made_again(home, tuned):
    before = pd.read_parquet(tuned.folder / "finetune_scores.parquet")
    for name in ("receipt.json", "finetune_scores.parquet"):
        (tuned.folder / name).unlink()
    for folder in (tuned.folder / "cpu", tuned.baselines / "cpu"):
        for path in (*folder.glob("cells/*.safetensors"), *folder.glob("scores/*.parquet")):
            path.unlink()
    finetune.run(tuned)
    pd.testing.assert_frame_equal(pd.read_parquet(tuned.folder / "finetune_scores.parquet"), before)


def test_two_processes_find_what_one_does(home, tuned):
    spec = _spec(home, "side-by-side", PARAMS.model_copy(update={"workers": 2}))
    finetune.run(spec)
    pd.testing.assert_frame_equal(
        pd.read_parquet(spec.folder / "finetune_scores.parquet"),
        pd.read_parquet(tuned.folder / "finetune_scores.parquet"),
    )


def test_one_group_out_tests_every_clip_once_a_seed(home):
    params = PARAMS.model_copy(
        update={
            "task": "classify",
            "leave_one_group_out": True,
            "shares": (1.0,),
            "arms": ("pretrained", "random_frozen"),
            "updates": 2,
        }
    )
    spec = _spec(home, "folds", params)
    finetune.run(spec)
    scores = pd.read_parquet(spec.folder / "finetune_scores.parquet")
    assert (scores["fold"] == scores["group"]).all()
    assert scores.groupby(["arm", "seed"])["clip"].nunique().eq(90).all()
    assert len(scores) == 360
    against = compare(scores, {}).set_index("baseline")
    assert against.loc["random_frozen", ["clips", "speakers", "repetitions"]].tolist() == [90, 10, 2]
    heard = load_heard(spec.folder / "models" / "classify-label")
    assert heard is not None
    assert len(heard.groups) == 8  # the fold of the best model: without its test and its dev speaker


def test_an_export_knows_whose_texts_it_learned_and_may_judge_the_others(home):
    params = PARAMS.model_copy(
        update={
            "task": "ctc",
            "shares": (0.5,),
            "seeds": 1,
            "updates": 1,
            "arms": ("pretrained",),
            "learning_rates": (1e-3,),
        }
    )
    spec = _spec(home, "half", params)
    finetune.run(spec)
    judge = open_judge(spec.folder / "models" / "ctc-text")
    with ShardReader(home[1]) as reader:
        index = reader.index
    labelled = read_labelled(home[2], "text")
    train = labelled.take(labelled.of("train"))
    known = judge.learned.has_clips("tiny", train.clips)
    assert known.sum() == share_of(len(limited(train, LIMITS, 16_000, 0)), 0.5)
    by_audio = [judge.learned.has_audio(index.pcm_sha256[index.position[clip]]) for clip in train.clips]
    assert by_audio == known.tolist()
    assert not judge.learned.has_clips("tiny", labelled.take(labelled.of("dev")).clips).any()
    assert judge.learned.has_groups("tiny", labelled.groups).tolist() == [one == "train" for one in labelled.splits]


def test_a_share_that_leaves_a_class_nothing_is_not_probed_and_says_so(home):
    _, shard_set, clips = home
    found = probe.find_targets(clips, PROBE.model_copy(update={"shares": (0.01, 1.0)}), shard_set.sample_rate_hz)
    assert found.shares == (1.0,)
    assert found.notes == ("no probe of 'label' at 0.01 of the labels: none of 'high' is left",)


def test_nothing_to_learn_is_one_sentence_with_what_to_do(home):
    _, shard_set, clips = home
    with pytest.raises(ConfigError, match=r"no column and no attribute .* 'lable'.*did you mean 'label'"):
        plan_tasks(clips, PARAMS.model_copy(update={"target": "lable"}), shard_set.sample_rate_hz)
    with pytest.raises(ConfigError, match=r"nothing to fine-tune on: .*finetune.target.*ingest.label"):
        plan_tasks(clips, PARAMS.model_copy(update={"target": "accent", "task": "classify"}), shard_set.sample_rate_hz)


@pytest.fixture(scope="module")
def probed(home) -> pd.DataFrame:
    folder, shard_set, clips = home
    (folder / "probe").mkdir()
    spec = ProbeSpec(
        folder=folder / "probe", identity="p", shard_set=shard_set.to_json(), clips=clips,
        encoder=folder / "encoder", probe=PROBE,
    )  # fmt: skip
    probe.run(spec)
    parts = {path.name: path.stat().st_mtime_ns for path in spec.folder.rglob("part-*")}
    whole = pd.read_parquet(spec.folder / probe.SCORES_FILE)
    (spec.folder / "receipt.json").unlink()
    (spec.folder / "cpu" / "part-random-2.parquet").unlink()
    probe.run(spec)
    again = {path.name: path.stat().st_mtime_ns for path in spec.folder.rglob("part-*")}
    assert {name for name in parts if parts[name] != again[name]} == {"part-random-2.parquet"}
    pd.testing.assert_frame_equal(whole, pd.read_parquet(spec.folder / probe.SCORES_FILE))
    return whole


def test_the_probe_has_both_arms_all_draws_and_every_layer(probed):
    label = probed[probed["target"] == "label"]
    assert label.groupby(["arm", "draw", "layer", "share"]).ngroups == 2 * 3 * 3 * 2
    assert sorted(probed.loc[probed["target"] == "text", "layer"].unique()) == [1, 2]
    clips = probed.groupby(["target", "arm", "draw", "layer", "share"])["clip"].agg(tuple)
    assert clips.groupby("target").nunique().eq(1).all()


def test_a_random_arm_is_another_encoder_in_each_draw(probed):
    whole = probed.query("target == 'label' and share == 1.0 and layer == 2")
    said = whole.groupby(["arm", "draw"])["prediction"].agg(tuple)
    assert len(set(said["random"])) > 1
    assert len(set(said["pretrained"])) == 1
