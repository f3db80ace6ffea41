from pathlib import Path

import pytest
import torch

from allears.downstream.finetune import trimmed
from allears.downstream.grid import plan_tasks, searched
from allears.errors import ConfigError
from allears.models.build import build_encoder
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.params.model import ConformerConfig
from tests.support import make_shards

ENCODER = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=16, kernel_frames=3)
PARAMS = FinetuneParams(
    min_class_clips=4, min_text_clips=10, shares=(0.01, 0.5, 1.0), limits=ClipLimits(train=60, dev=20, test=20)
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"), clips=60, seconds=0.3)[1]


def _plan(clips: Path, **changes):
    return plan_tasks(clips, PARAMS.model_copy(update=changes), 16000)


def test_auto_learns_the_label_where_there_is_one_else_the_text(clips):
    assert [plan.name for plan in _plan(clips)] == ["classify-label"]
    assert [plan.name for plan in _plan(clips, target="accent")] == ["ctc-text"]


def test_all_are_what_can_be_learned(clips):
    assert [plan.name for plan in _plan(clips, task="all")] == ["classify-label", "ctc-text"]
    assert [plan.name for plan in _plan(clips, task="all", target="accent")] == ["ctc-text"]


def test_any_column_is_a_target(clips):
    (plan,) = _plan(clips, target="gender")
    assert plan.classes == ("female", "male")
    assert (plan.train_clips, plan.dev_clips, plan.test_clips, plan.groups) == (42, 6, 12, 2)


def test_a_share_that_is_too_small_is_skipped_with_its_numbers(clips):
    (plan,) = _plan(clips)
    assert plan.shares == (0.5, 1.0)
    assert plan.skipped == ("0.01 of the labels leaves 0 clips of 'high' (of 14 in train), and 2 are needed",)


def test_no_share_that_is_large_enough_is_an_error(clips):
    with pytest.raises(ConfigError, match=r"every share of 'label' is too small: 0\.01 of the labels leaves 0 clips"):
        _plan(clips, task="classify", shares=(0.01,))


def test_searched_are_all_combinations_with_names_of_their_own(clips):
    (plan,) = _plan(clips)
    found = searched(plan, "", "scratch", PARAMS)
    assert len({cell.name for cell in found}) == len(found) == 2 * 2


def test_cells_of_a_corpus_with_splits_keep_their_names(clips):
    (plan,) = _plan(clips, learning_rates=(1e-3,), seeds=1, shares=(0.5,))
    (cell,) = searched(plan, "", "scratch", PARAMS.model_copy(update={"learning_rates": (1e-3,), "seeds": 1}))
    assert cell.name == "classify-label-scratch-share0.5-seed0-lr0.001-mean"


def test_folds_have_files_of_their_own_whatever_their_names(clips):
    (plan,) = _plan(clips)
    names = [searched(plan, group, "scratch", PARAMS)[0].name for group in ("a/b", "a_b", "é" * 300, "é" * 301)]
    assert len(set(names)) == 4
    assert all(len(name.encode()) < 200 and "/" not in name for name in names)
    assert names[0].startswith("classify-label-without-a_b-")


@pytest.mark.parametrize(
    ("keep", "frozen", "said"),
    [
        (3, 0, r"finetune\.keep_blocks is 3, but the encoder has 2 blocks"),
        (None, 3, r"finetune\.frozen_blocks is 3, but 2 of the encoder's 2 blocks are kept"),
        (1, 2, r"finetune\.frozen_blocks is 2, but 1 of the encoder's 2 blocks are kept; ask for at most 1"),
    ],
)
def test_no_more_blocks_than_there_are_can_be_kept_or_frozen(keep, frozen, said):
    with pytest.raises(ConfigError, match=said):
        trimmed(build_encoder(ENCODER), FinetuneParams(keep_blocks=keep, frozen_blocks=frozen))


def test_the_lowest_blocks_are_kept():
    encoder = build_encoder(ENCODER)
    shorter = trimmed(encoder, FinetuneParams(keep_blocks=1, frozen_blocks=1))
    assert shorter.config.blocks == 1
    whole = encoder.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in shorter.state_dict().items())


def test_a_percentage_is_not_a_share():
    with pytest.raises(ValueError, match=r"10 % is 0\.1"):
        FinetuneParams(shares=(10.0,))
