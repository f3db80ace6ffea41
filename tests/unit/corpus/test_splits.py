from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.splits import carve, units
from tests.reference.leaks import linked

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


PLACE = st.one_of(st.none(), st.integers(0, 6))
PLACES = st.tuples(st.integers(0, 9), PLACE)


@given(st.lists(PLACES, min_size=1, max_size=25))
def test_units_are_the_groups_that_sessions_link(clips: list[tuple[int, int | None]]) -> None:
    groups = [str(group) for group, _ in clips]
    sessions = [None if session is None else str(session) for _, session in clips]
    unit_of = units([None] * len(clips), groups, sessions, {}, max_share=1.0)
    lots = {frozenset(g for g in groups if unit_of[g] == unit) for unit in unit_of.values()}
    assert lots == linked(groups, sessions)
    assert all(unit == min(g for g in groups if unit_of[g] == unit) for unit in unit_of.values())


@given(st.lists(st.tuples(SPLITS, st.integers(0, 12), st.sampled_from([None, "1", "2", "3", "4"])), min_size=1))
def test_sessions_tear_no_group_apart_and_move_nothing_that_was_held_out(
    clips: list[tuple[str | None, int, str | None]],
) -> None:
    given_splits = [split for split, _, _ in clips]
    groups, sessions = [str(group) for _, group, _ in clips], [session for _, _, session in clips]
    splits, _ = carve(given_splits, groups, dev=0.1, test=0.2, seed=0, sessions_N=sessions)
    home = {group: split for group, split in zip(groups, given_splits, strict=True) if split}
    one_split = {g for g in home if len({s for h, s in zip(groups, given_splits, strict=True) if s and h == g}) == 1}
    for group in set(groups) - set(home) | one_split:
        assert len({split for split, each in zip(splits, groups, strict=True) if each == group}) == 1
    for before, after in zip(given_splits, splits, strict=True):
        assert before not in ("dev", "test") or after == before
    if not any(given_splits) and len(set(groups)) >= 3:
        assert set(splits) == {"train", "dev", "test"}


def calls(count: int, first: int = 0) -> tuple[list[str], list[str | None]]:
    """Both speakers of so many calls."""
    names = range(first, first + count)
    return [f"{side}{i}" for i in names for side in "ab"], [f"call{i}" for i in names for _ in "ab"]


def in_two(splits: list[str], names: list[str | None]) -> set[str | None]:
    where = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        where[name].add(split)
    return {name for name, found in where.items() if len(found) > 1}


def test_the_speakers_of_a_call_stay_together() -> None:
    groups, sessions = calls(20)
    splits, _ = carve([None] * 40, groups, dev=0.1, test=0.2, seed=0, sessions_N=sessions)
    assert not in_two(splits, sessions)
    assert (splits.count("dev"), splits.count("test")) == (4, 8)
    assert in_two(carve([None] * 40, groups, dev=0.1, test=0.2, seed=0)[0], sessions)  # what it was without


def test_a_session_that_all_share_holds_nobody_together() -> None:
    groups = [str(i) for i in range(100)]
    for days in (1, 3):
        sessions = [f"day {i % days}" for i in range(100)]
        found = carve([None] * 100, groups, dev=0.1, test=0.2, seed=0, sessions_N=sessions)
        assert found == carve([None] * 100, groups, dev=0.1, test=0.2, seed=0)


def test_a_large_unit_is_trained_on_where_smaller_ones_can_be_held_out() -> None:
    groups = [str(i) for i in range(100)]
    sessions = ["festival"] * 20 + [None] * 80
    for seed in range(20):
        splits, _ = carve([None] * 100, groups, dev=0.1, test=0.2, seed=seed, sessions_N=sessions)
        assert set(splits[:20]) == {"train"}


def test_new_speakers_of_a_known_session_join_it_and_known_ones_stay() -> None:
    groups, sessions = calls(20)
    known = dict(
        zip(groups, carve([None] * 40, groups, dev=0.1, test=0.2, seed=0, sessions_N=sessions)[0], strict=True)
    )
    more, theirs = calls(20, first=20)
    groups, sessions = [*groups, "c3", *more], [*sessions, "call3", *theirs]
    splits, _ = carve([None] * 81, groups, dev=0.1, test=0.2, seed=1, known=known, sessions_N=sessions)
    now = dict(zip(groups, splits, strict=True))
    assert {group: now[group] for group in known} == known
    assert now["c3"] == known["a3"]
    assert not in_two(splits, sessions)


def test_known_speakers_who_meet_in_a_new_session_stay_where_they_are() -> None:
    groups, sessions = ["a", "b", *map(str, range(20))], ["meet", "meet", *[None] * 20]
    splits, _ = carve(
        [None] * 22, groups, dev=0.1, test=0.2, seed=0, known={"a": "test", "b": "train"}, sessions_N=sessions
    )
    assert splits[:2] == ["test", "train"]


def test_what_was_carved_from_given_train_stays_together_when_it_grows() -> None:
    groups, sessions = calls(20)
    given_splits = ["train"] * 40
    splits, _ = carve(given_splits, groups, dev=0.1, test=0.2, seed=0, sessions_N=sessions)
    known = dict(zip(groups, splits, strict=True))
    at = splits.index("test")
    splits, _ = carve(
        [*given_splits, "train"], [*groups, "new"], dev=0.1, test=0.2, seed=0, known=known,
        sessions_N=[*sessions, sessions[at]],
    )  # fmt: skip
    assert splits[-1] == "test"
    assert dict(zip(groups, splits, strict=False)) == known


def meetings(count: int, speakers: int = 4) -> tuple[list[str], list[str | None]]:
    """All speakers of so many meetings, each of which is one recording."""
    return [f"{m}-{s}" for m in range(count) for s in range(speakers)], [
        f"m{m}" for m in range(count) for _ in range(speakers)
    ]


def test_a_recording_is_in_one_split_however_many_speak_in_it() -> None:
    for count in (3, 4, 30):
        groups, recordings = meetings(count)
        splits, _ = carve([None] * len(groups), groups, dev=0.1, test=0.2, seed=0, recordings_N=recordings)
        assert not in_two(splits, recordings)
        assert set(splits) == {"train", "dev", "test"}
    groups, recordings = meetings(3)
    torn, _ = carve([None] * 12, groups, dev=0.1, test=0.2, seed=0, sessions_N=recordings)
    assert in_two(torn, recordings)  # a session may be a day or a room, and then is no reason to have three units only


def test_a_corpus_of_one_or_two_recordings_is_carved_by_speaker() -> None:
    for count in (1, 2):
        groups, recordings = meetings(count, speakers=50)
        found = carve([None] * len(groups), groups, dev=0.1, test=0.2, seed=0, recordings_N=recordings)
        assert found == carve([None] * len(groups), groups, dev=0.1, test=0.2, seed=0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.sampled_from([None, "1", "2"])), min_size=1))
def test_recordings_and_sessions_leave_no_split_empty(clips: list[tuple[int, int, str | None]]) -> None:
    groups, recordings = [str(group) for group, _, _ in clips], [str(recording) for _, recording, _ in clips]
    splits, _ = carve(
        [None] * len(clips), groups, dev=0.1, test=0.2, seed=0, sessions_N=[each for _, _, each in clips],
        recordings_N=recordings,
    )  # fmt: skip
    if len(set(groups)) >= 3:
        assert set(splits) == {"train", "dev", "test"}
    if len(linked(groups, recordings)) >= 3:
        assert not in_two(splits, recordings)


def test_a_recording_that_new_speakers_join_keeps_its_split() -> None:
    groups, recordings = meetings(5)
    splits, _ = carve([None] * 20, groups, dev=0.1, test=0.2, seed=0, recordings_N=recordings)
    known = dict(zip(groups, splits, strict=True))
    at = splits.index("test")
    again, _ = carve(
        [None] * 21,
        [*groups, "new"],
        dev=0.1,
        test=0.2,
        seed=1,
        known=known,
        recordings_N=[*recordings, recordings[at]],
    )
    assert again == [*splits, "test"]


def test_carving_is_pinned() -> None:
    """The splits of corpora that are carved already must not change."""
    groups = [f"speaker {i % 23}" for i in range(200)]
    given_splits = ["test" if i % 23 in (3, 7) else "train" for i in range(200)]
    one_stratum: list[tuple[str, ...]] = [("s", "en")] * 200
    for strata in (None, one_stratum):
        splits, _ = carve([None] * 200, groups, dev=0.1, test=0.2, seed=0, strata_N=strata)
        assert held_out(splits, groups, "dev") == {"speaker 0", "speaker 12"}
        assert held_out(splits, groups, "test") == {f"speaker {i}" for i in (4, 5, 13, 19, 21)}
        splits, _ = carve(given_splits, groups, dev=0.1, test=0.2, seed=0, strata_N=strata)
        assert held_out(splits, groups, "dev") == {"speaker 19", "speaker 21"}


def held_out(splits: list[str], groups: list[str], name: str) -> set[str]:
    return {group for split, group in zip(splits, groups, strict=True) if split == name}


STRATA: list[tuple[str, ...]] = [("a", "en"), ("a", "fr"), ("b", "en"), ("b", "")]
SPLIT_NAMES, HELD_OUT = ("train", "dev", "test"), {"dev": 0.1, "test": 0.2}
SIZES = st.lists(st.integers(0, 25), min_size=4, max_size=4).filter(any)


def speakers_of(sizes: list[int], first: int = 0) -> tuple[list[str], list[tuple[str, ...]]]:
    """Groups of so many speakers of each stratum, and their strata."""
    pairs = [
        (f"{'/'.join(stratum)}/{first + i}", stratum)
        for stratum, size in zip(STRATA, sizes, strict=True)
        for i in range(size)
    ]
    return [group for group, _ in pairs], [stratum for _, stratum in pairs]


@given(SIZES, st.integers(0, 5))
def test_each_split_is_of_every_source_and_language_as_far_as_the_groups_go(sizes: list[int], seed: int) -> None:
    groups, strata = speakers_of(sizes)
    splits, _ = carve([None] * len(groups), groups, dev=0.1, test=0.2, seed=seed, strata_N=strata)
    for stratum, size in zip(STRATA, sizes, strict=True):
        count = {name: list(zip(splits, strata, strict=True)).count((name, stratum)) for name in SPLIT_NAMES}
        if size >= 3:
            assert all(count.values())
            assert all(abs(count[name] - share * size) <= 1 for name, share in HELD_OUT.items())
        elif size and (max(sizes) >= 3 or sum(sizes) >= 3 * sum(map(bool, sizes))):
            assert count["train"]
    if len(groups) >= 3:
        assert set(splits) == {"train", "dev", "test"}


@given(SIZES, st.lists(st.integers(0, 25), min_size=4, max_size=4))
def test_a_delivery_changes_no_known_group_and_is_carved_like_the_rest(first: list[int], second: list[int]) -> None:
    groups, strata = speakers_of(first)
    splits, _ = carve([None] * len(groups), groups, dev=0.1, test=0.2, seed=0, strata_N=strata)
    known = dict(zip(groups, splits, strict=True))
    more, theirs = speakers_of(second, first=100)
    again = carve(
        [None] * len(groups + more), groups + more, dev=0.1, test=0.2, seed=0, known=known, strata_N=strata + theirs
    )[0]
    assert again[: len(groups)] == splits
    for stratum, before, new in zip(STRATA, first, second, strict=True):
        if new >= 3:
            now = {split for split, each in zip(again, strata + theirs, strict=True) if each == stratum}
            assert now == {"train", "dev", "test"} or before


def test_dev_is_carved_of_both_sources_where_one_gives_its_splits_but_dev() -> None:
    groups, strata = speakers_of([20, 0, 10, 0])
    given_splits = ["test" if i < 4 else "train" for i in range(20)] + [None] * 10
    for seed in range(10):
        splits, _ = carve(given_splits, groups, dev=0.1, test=0.2, seed=seed, strata_N=strata)
        assert {stratum for split, stratum in zip(splits, strata, strict=True) if split == "dev"} == set(strata)
        assert splits.count("dev") == 3


def test_languages_of_two_speakers_each_are_all_trained_on() -> None:
    strata = [("s", f"language {i // 2}") for i in range(20)]
    groups = [str(i) for i in range(20)]
    for seed in range(10):
        splits, _ = carve([None] * 20, groups, dev=0.1, test=0.2, seed=seed, strata_N=strata)
        assert {stratum for split, stratum in zip(splits, strata, strict=True) if split == "train"} == set(strata)
        assert (splits.count("dev"), splits.count("test")) == (2, 4)


def test_a_speaker_of_two_languages_counts_for_the_one_of_more_clips() -> None:
    groups = [str(i // 3) for i in range(90)]
    strata = [("s", "fr" if i % 3 == 0 else "en") for i in range(90)]
    same = [("s", "en")] * 90
    shares = {"dev": 0.1, "test": 0.2, "seed": 0}
    assert carve([None] * 90, groups, **shares, strata_N=strata) == carve([None] * 90, groups, **shares, strata_N=same)


@given(st.lists(st.tuples(st.integers(0, 9), PLACE, PLACE), min_size=1, max_size=30))
def test_recordings_and_sessions_link_as_merging_sets_does(clips: list[tuple[int, int | None, int | None]]) -> None:
    groups = [str(group) for group, _, _ in clips]
    recordings = [None if place is None else f"r{place}" for _, place, _ in clips]
    sessions = [None if place is None else f"s{place}" for _, _, place in clips]
    unit_of = units([None] * len(clips), groups, sessions, {}, 1.0, recordings)
    lots = {frozenset(g for g in groups if unit_of[g] == unit) for unit in unit_of.values()}
    assert lots == linked(groups * 2, recordings + sessions)


def test_a_host_of_half_of_the_recordings_is_trained_on_with_all_guests() -> None:
    groups = [name for i in range(20) for name in ("host" if i < 10 else f"host{i}", f"guest{i}")]
    recordings: list[str | None] = [f"episode{i // 2}" for i in range(40)]
    splits, _ = carve([None] * 40, groups, dev=0.1, test=0.2, seed=0, recordings_N=recordings)
    assert not in_two(splits, recordings)
    assert set(splits[:20]) == {"train"}
