from pathlib import Path

import pytest

from allears.errors import ConfigError
from allears.params.finetune import FinetuneParams
from allears.params.labelled import ClipLimits
from allears.training.grid import cells, plan_tasks
from tests.support import make_shards

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


def test_both_are_what_can_be_learned(clips):
    assert [plan.name for plan in _plan(clips, task="both")] == ["classify-label", "ctc-text"]
    assert [plan.name for plan in _plan(clips, task="both", target="accent")] == ["ctc-text"]


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


def test_cells_are_all_combinations_with_names_of_their_own(clips):
    (plan,) = _plan(clips)
    found = cells(plan, "", "scratch", PARAMS)
    assert len({cell.name for cell in found}) == len(found) == 2 * 2 * 3


def test_a_percentage_is_not_a_share():
    with pytest.raises(ValueError, match=r"10 % is 0\.1"):
        FinetuneParams(shares=(10.0,))
