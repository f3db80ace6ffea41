from __future__ import annotations

import pandas as pd

from allears.reporting.audit_listen import groups, pairs
from tests.audit_tables import manifest, measures

MEANS = {"noisy": "too noisy"}


def shown(**facts: object) -> dict:
    return {"group": "noisy", "place": "worst", "rank": 0, "clip": "c0", "measure": "snr_db", "value": 3.21,
            "cut": 10.0, "file": "c0-1234", "seconds": 12.0, "top_hz": 11_025.0, "problem": None} | facts  # fmt: skip


def clips(**values: float) -> pd.DataFrame:
    table = manifest([{"text": None, "label": "rain"}, {"text": "x" * 400}])
    verdicts = pd.DataFrame({"clip": ["c0", "c1"], "verdict": ["soft", "keep"], "reasons": ["noisy,silent", ""]})
    return table.merge(measures(table, [values, {}]), on="clip").merge(verdicts, on="clip")


def test_a_card_says_what_is_heard_and_why() -> None:
    (group,) = groups(pd.DataFrame([shown()]), clips(decoded_duration_s=27.3), 12.0, MEANS)
    (card,) = group["places"][0]["cards"]
    assert card["span"] == "first 12 s of 27.30 s"
    assert card["measure"] == {"name": "signal-to-noise (WADA)", "value": "3.21 dB", "cut": "10.0 dB"}
    assert (card["sound"], card["picture"]) == ("audit_files/c0-1234.mp3", "audit_files/c0-1234.webp")
    assert (card["text"], card["top"], card["verdict"]) == ("rain", "11.025 kHz", "flagged")
    assert card["reasons"] == "noisy, silent"
    assert (group["name"], group["meaning"], group["count"]) == ("noisy", "too noisy", "1 worst")


def test_clips_of_one_file_are_told_apart() -> None:
    table = manifest([
        {"path": "calls.tar", "member": "a.flac", "file_duration_s": 9.0, "end_s": 4.0},
        {"path": "calls.tar", "member": "a.flac", "file_duration_s": 9.0, "start_s": 4.0, "end_s": 9.0, "channel": 1},
        {"path": "whole.wav", "end_s": 1.9999999, "file_duration_s": 2.0},
    ])  # fmt: skip
    verdicts = pd.DataFrame({"clip": table["clip"], "verdict": "soft", "reasons": "noisy"})
    clips = table.merge(measures(table), on="clip").merge(verdicts, on="clip")
    (group,) = groups(pd.DataFrame([shown(clip=clip) for clip in table["clip"]]), clips, 12.0, MEANS)
    cards = group["places"][0]["cards"]
    assert [(card["clip"], card["where"]) for card in cards] == [
        ("c0", "calls.tar, a.flac in it, from 0.00 s"),
        ("c1", "calls.tar, a.flac in it, channel 1, from 4.00 s"),
        ("c2", "whole.wav"),
    ]


def test_a_whole_clip_and_a_clip_that_cannot_be_played() -> None:
    rows = [shown(seconds=2.0, measure=None, value=None), shown(clip="c1", file=None, seconds=None, problem="gone")]
    (group,) = groups(pd.DataFrame(rows), clips(), 12.0, MEANS)
    whole, silent = group["places"][0]["cards"]
    assert (whole["span"], whole["measure"]) == ("2.00 s", None)
    assert (silent["sound"], silent["problem"], silent["span"]) == (None, "gone", "")
    assert len(silent["text"]) == 301


def test_copies_stand_side_by_side_the_one_that_stays_first() -> None:
    rows = [
        shown(group="pcm_duplicate", place=place, rank=rank, clip=clip)
        for rank in (0, 1)
        for place, clip in (("left out", "c0"), ("stays", "c1"))
    ]
    table = pd.DataFrame([*rows, shown()])
    (kind,) = pairs(table, clips(), 12.0, MEANS)
    assert [[card["place"] for card in pair] for pair in kind["pairs"]] == [["stays", "left out"]] * 2
    assert [group["name"] for group in groups(table, clips(), 12.0, MEANS)] == ["noisy"]


def test_a_reason_of_a_policy_that_nobody_knows_here_is_shown_as_it_is_called() -> None:
    (group,) = groups(pd.DataFrame([shown(group="hums", measure="odd_db", value=1.5, cut=None)]), clips(), 12.0, MEANS)
    assert group["name"] == "hums"
    assert group["places"][0]["cards"][0]["measure"] == {"name": "odd_db", "value": "1.50", "cut": ""}
