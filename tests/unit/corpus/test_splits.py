from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.splits import carve

SPLITS = st.sampled_from(["train", "dev", "test", None])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 5))
def test_groups_stay_whole_and_three_are_enough(groups: list[int], seed: int) -> None:
    names = [f"speaker {group}" for group in groups]
    splits, origins = carve([None] * len(names), names, dev=0.1, test=0.2, seed=seed)
    where = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        where[name].add(split)
    assert all(len(found) == 1 for found in where.values())
    assert set(origins) == {"carved"}
    if len(where) >= 3:
        assert set(splits) == {"train", "dev", "test"}
    assert "train" in splits


@given(st.lists(st.tuples(SPLITS, st.integers(0, 12)), min_size=1, max_size=80))
def test_what_was_given_stays_unless_a_split_is_missing(clips: list[tuple[str | None, int]]) -> None:
    given_splits = [split for split, _ in clips]
    groups = [str(group) for _, group in clips]
    splits, origins = carve(given_splits, groups, dev=0.1, test=0.2, seed=0)
    for before, after, origin in zip(given_splits, splits, origins, strict=True):
        assert origin == ("given" if before == after else "carved") or before == after
        if before in ("dev", "test"):
            assert after == before
        if before == "train" and after != "train":
            assert after not in given_splits


def test_a_clip_without_a_split_goes_with_its_speaker() -> None:
    splits, origins = carve(["test", None, "train", None, "dev"], ["a", "a", "b", "c", "d"], dev=0.1, test=0.2, seed=0)
    assert splits == ["test", "test", "train", "train", "dev"]
    assert origins == ["given", "carved", "given", "carved", "given"]


def test_a_missing_dev_is_carved_from_speakers_of_train_alone() -> None:
    groups = ["a", "b", "c", "d", "both", "both", "t"]
    given_splits = ["train", "train", "train", "train", "train", "test", "test"]
    splits, origins = carve(given_splits, groups, dev=0.25, test=0.2, seed=0)
    assert splits.count("dev") == 1
    assert splits[4:] == ["train", "test", "test"]
    assert origins[splits.index("dev")] == "carved"


def test_shares_are_of_the_groups_and_depend_on_the_seed() -> None:
    groups = [str(i) for i in range(100)]
    one, other = (carve([None] * 100, groups, dev=0.1, test=0.2, seed=seed)[0] for seed in (0, 1))
    assert (one.count("dev"), one.count("test")) == (10, 20)
    assert one != other
    assert one == carve([None] * 100, groups, dev=0.1, test=0.2, seed=0)[0]
