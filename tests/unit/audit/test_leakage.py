from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allears.audit.leakage import copy_leaks, overlap_leaks, session_leaks, shared_sessions
from allears.audit.policy import judge
from allears.errors import ConfigError
from allears.params.audit import AuditParams
from tests.audit_people import audited
from tests.audit_tables import STANDARD, manifest, measures
from tests.reference import leaks as slow
from tests.unit.audit.test_duplicates import print_of

SPLITS = st.sampled_from(["train", "dev", "test"])
CALL = [{"speaker": "a", "session": "call"}, {"speaker": "b", "session": "call", "split": "test"}]
OTHERS: list[dict[str, Any]] = [{"session": "d"}, {"session": "e"}, {"session": None}]
PRINTS = [{"fingerprint": print_of(0)}, {"fingerprint": print_of(0, flipped=50)}]
COPY: list[dict[str, Any]] = [{"split": "test"}, {"split": "train"}, {}]  # the second is the first, re-encoded
KEEP = [("c1", "keep", "sounds well")]


def table_of(rows: list[tuple[str, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["split", "group", "source", "session"], dtype="string")
    return table.assign(clip=[f"c{i}" for i in range(len(table))])


@given(st.lists(st.tuples(SPLITS, st.sampled_from("abcde"), st.sampled_from("xy"), st.sampled_from(["1", "2", None]))))
def test_shared_sessions_are_those_found_clip_by_clip(rows: list[Any]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    assert shared_sessions(table_of(rows)).tolist() == slow.shared_sessions(*columns)


@given(st.lists(st.tuples(SPLITS, st.integers(0, 20), st.booleans()), max_size=20))
def test_copies_of_copies_are_followed_to_the_one_that_stays(rows: list[tuple[str, int, bool]]) -> None:
    splits = {f"c{i}": split for i, (split, _, _) in enumerate(rows)}
    twins = {f"c{i}": f"c{to % i}" for i, (_, to, is_copy) in enumerate(rows) if is_copy and i}
    table = pd.DataFrame({"clip": list(splits), "split": list(splits.values())}, dtype="string")
    found = copy_leaks(table, table["clip"].map(twins).astype("string"))
    assert table.loc[found, "clip"].tolist() == slow.copies(splits, twins)


SPANS = st.tuples(
    SPLITS,
    st.sampled_from("fg"),
    st.sampled_from([None, 0, 1]),
    st.integers(0, 12),
    st.sampled_from([0.5, 1.0, 3.0, 7.0]),
)


@given(st.lists(SPANS, max_size=12))
@example([("train", "g", None, 0, 1.0), ("dev", "g", None, 0, 1.0), ("test", "g", None, 0, 0.5)])
def test_overlaps_are_those_found_pair_by_pair(spans: list[tuple[str, str, int | None, int, float]]) -> None:
    clips = [(split, file, channel, float(at), at + lasts) for split, file, channel, at, lasts in spans]
    table = pd.DataFrame(clips, columns=["split", "file_sha256", "channel", "start_s", "end_s"])
    table["channel"] = table["channel"].astype("Int64")
    assert overlap_leaks(table).tolist() == slow.overlaps(clips)


TURNS: list[dict[str, Any]] = [
    {"speaker": "a", "file_sha256": "f" * 64, "start_s": 0.0, "end_s": 4.0},
    {"speaker": "b", "file_sha256": "f" * 64, "start_s": 3.5, "end_s": 8.0, "split": "test"},
    {"speaker": "c", "file_sha256": "f" * 64, "start_s": 7.9999, "end_s": 12.0},
    {"speaker": "d"}, {"speaker": "e"},
]  # fmt: skip


def test_a_training_clip_that_overlaps_a_test_clip_is_forgiven_by_nobody() -> None:
    keep = pd.DataFrame([("c0", "keep", "ours")], columns=["clip", "decision", "why"], dtype="string")
    done = audited(TURNS, decided=keep)
    assert done.verdicts["reasons"].tolist() == ["overlap_leak", "", "", "", ""]
    assert done.selection["keep"].tolist() == [False, True, True, True, True]
    assert done.summary()["leaks"]["overlap"] == {"clips": 1, "train": 1, "selected": 0}
    assert "Training clips that overlap in the same file with held-out ones: 1; none is trained on." in done.findings()


def test_a_copy_of_the_file_is_the_same_file_and_the_other_channel_is_not() -> None:
    copied = [TURNS[0], TURNS[1] | {"path": "copy.wav"}, *TURNS[3:]]
    assert overlap_leaks(manifest(copied)).tolist() == [True, False, False, False]
    sides = [TURNS[0] | {"channel": 0}, TURNS[1] | {"channel": 1}, *TURNS[3:]]
    assert not overlap_leaks(manifest(sides)).any()
    mixed = [TURNS[0] | {"channel": 0}, TURNS[1], *TURNS[3:]]
    assert overlap_leaks(manifest(mixed)).tolist() == [True, False, False, False]


def test_two_speakers_of_one_call_leak_on_the_training_side() -> None:
    done = audited(CALL + OTHERS, keep_despite=["noisy"])
    assert done.verdicts["reasons"].tolist() == ["session_leak", "", "", "", ""]
    assert done.selection["keep"].tolist() == [False, True, True, True, True]
    assert done.summary()["leaks"]["session"] == {"clips": 1, "train": 1, "selected": 0, "sessions": 1, "of": 3}
    assert (
        "warn: In more than one split, with other speakers: 1 of 3 sessions (1 clip on the training side); these are "
        "left out." in done.findings()
    )


def test_a_session_of_another_source_is_another_one() -> None:
    rows = [CALL[0] | {"source": "other"}, CALL[1]]
    assert not shared_sessions(manifest(rows)).any()


def test_a_session_that_nearly_all_share_is_a_day_or_a_room_and_only_counted() -> None:
    day = [{"session": "monday", "split": "test" if i == 0 else "dev" if i == 1 else "train"} for i in range(10)]
    done = audited(day)
    assert done.selection["keep"].all()
    assert done.summary()["leaks"]["session"] == {"clips": 9, "train": 8, "selected": 9, "sessions": 1, "of": 1}
    assert (
        "(9 clips on the training side). 9 clips of them stay: they are more of their split than "
        "audit.max_session_share=0.5, as where a session is a day or a room." in done.findings()
    )
    spare = [{"session": None}]
    strict = audited(day + spare, max_session_share=1)
    assert strict.selection["keep"].tolist() == [True] + [False] * 9 + [True]
    assert strict.summary()["leaks"]["session"]["selected"] == 0


def test_each_split_has_its_own_share() -> None:
    """All of dev shares its session with test, one clip in five of train: dev stays, that clip does not."""
    rows = [{"session": "s", "split": "test"}, {"session": "s", "split": "dev"}, {"session": "s"}, {}, {}, {}, {}]
    assert session_leaks(manifest(rows), 0.2).tolist() == [False, False, True] + [False] * 4
    assert session_leaks(manifest(rows), 1.0).tolist() == [False, True, True] + [False] * 4
    assert not session_leaks(manifest(rows), 0.1).any()


def test_a_leaking_speaker_is_not_counted_as_a_session_too() -> None:
    rows = [{"speaker": "a", "session": "s"}, {"speaker": "a", "session": "s", "split": "test"}, {}]
    done = audited(rows)
    assert done.verdicts["reasons"].tolist() == ["speaker_leak", "", ""]
    assert done.summary()["leaks"]["session"]["clips"] == 0


@pytest.mark.parametrize("decided", [None, pd.DataFrame(KEEP, columns=["clip", "decision", "why"], dtype="string")])
def test_a_copy_of_a_test_clip_is_forgiven_by_nobody(decided: pd.DataFrame | None) -> None:
    done = audited(COPY, [*PRINTS, {}], decided=decided, keep_despite=["reencoded_duplicate"])
    assert "copy_leak" in done.verdicts["reasons"].tolist()[1]
    assert done.selection["keep"].tolist() == [True, False, True]
    assert done.summary()["leaks"]["copy"] == {"clips": 1, "train": 1, "selected": 0}
    assert "Training clips that are copies of held-out ones: 1; none is trained on." in done.findings()


def test_a_copy_within_one_split_may_be_kept() -> None:
    done = audited([{}, {}, {"split": "test"}], [*PRINTS, {}], keep_despite=["reencoded_duplicate"])
    assert done.verdicts["reasons"].tolist() == ["", "reencoded_duplicate", ""]
    assert done.selection["keep"].all()


def test_a_copy_of_a_training_copy_of_a_test_clip_is_one_of_the_test_clip() -> None:
    """The same samples as a copy whose own original is held out."""
    same = {"pcm_sha256": "x"}
    done = audited([{"split": "test"}, {}, {}, {}], [PRINTS[0], PRINTS[1] | same, PRINTS[1] | same, {}])
    assert done.verdicts["reasons"].tolist() == ["", "reencoded_duplicate,copy_leak", "pcm_duplicate,copy_leak", ""]
    assert done.summary()["leaks"]["copy"]["train"] == 2


def test_no_leak_may_be_named_in_keep_despite() -> None:
    table = manifest([{}])
    found = pd.DataFrame({"clip": [], "kind": [], "duplicate_of": []}, dtype="string")
    for code in ("copy_leak", "overlap_leak", "session_leak", "speaker_leak"):
        with pytest.raises(ConfigError, match=f"'{code}' is no soft reason"):
            judge(table, measures(table), found, AuditParams(keep_despite=(code,)), STANDARD)
