"""Rules that describe the corpus: when they are set aside, for whom, and that a person's word applies them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from allears.audit import policy as policies_
from allears.audit.policy import describe_set_aside, judge
from allears.audit.suspect import FACTS, MOST_SCOPES, fewest, lower_bound, nearly_all
from allears.errors import ConfigError
from allears.params.audit import AuditParams
from allears.params.policy import Policies, Policy
from tests.audit_people import audited
from tests.audit_tables import POLICIES, manifest, measures

PARAMS = AuditParams()
NONE = pd.DataFrame({"clip": [], "kind": [], "duplicate_of": []}, dtype="string")
NOISY, PAUSES = {"snr_db": 0.0}, {"pause_snr_db": 0.0}
POLICY = Policies.model_validate(
    {
        "mine": {
            "noisy": {"measure": "snr_db", "min": 10, "of": "speech"},
            "loud_pauses": {"measure": "pause_snr_db", "min": 6},
            "clipped": {"measure": "clipped_share", "max": 0.01},
            "hum": {"measure": "hum_db", "max": 15, "verdict": "hard"},
        }
    }
).chosen("mine")


def judged(
    rows: list[dict[str, Any]], values: list[dict[str, Any]], policy: Policy = POLICY, **changes: Any
) -> pd.DataFrame:  # fmt: skip
    table = manifest(rows)
    return judge(table, measures(table, values), NONE, AuditParams.model_validate(changes), policy)


def corpus(flagged: int, clips: int, value: dict[str, Any] = NOISY, **changes: Any) -> pd.DataFrame:
    """`clips` clips, each of another speaker, the first `flagged` of them with `value`."""
    return judged([{}] * clips, [value] * flagged + [{}] * (clips - flagged), **changes)


def aside(verdicts: pd.DataFrame, code: str = "noisy") -> int:
    return int((verdicts["set_aside"] == code).sum())


@pytest.mark.parametrize(
    ("flagged", "clips", "set_aside"),
    [
        (0, 50, 0), (1, 1, 0), (2, 2, 0), (13, 13, 0), (2, 14, 0), (3, 14, 3), (14, 14, 14), (10, 50, 0), (11, 50, 11),
        (200, 1000, 0), (201, 1000, 201), (1000, 1000, 1000),
    ],
)  # fmt: skip
def test_a_large_share_of_the_corpus_is_set_aside_and_a_few_clips_are_no_evidence(
    flagged: int, clips: int, set_aside: int
) -> None:
    verdicts = corpus(flagged, clips)
    assert aside(verdicts) == set_aside
    assert (verdicts["reasons"] == "noisy").sum() == flagged - set_aside
    assert (verdicts["verdict"] == "soft").sum() == flagged - set_aside


def test_from_ten_thousand_clips_on_the_share_alone_decides() -> None:
    assert aside(corpus(2_001, 10_000)) == 2_001
    assert aside(corpus(2_000, 10_000)) == 0


@pytest.mark.parametrize(("share", "flagged", "set_aside"), [(0.5, 50, 0), (0.5, 51, 51), (1.0, 100, 0)])
def test_the_share_is_a_parameter_and_one_means_never(share: float, flagged: int, set_aside: int) -> None:
    assert aside(corpus(flagged, 100, suspect_share=share)) == set_aside


def test_facts_and_hard_rules_are_never_set_aside() -> None:
    assert (corpus(100, 100, {"clipped_share": 0.5})["reasons"] == "clipped").all()
    assert (corpus(100, 100, {"hum_db": 20.0})["verdict"] == "hard").all()


def test_counts_are_facts_and_what_stands_for_something_heard_or_read_is_none() -> None:
    assert {"clipped_share", "peak", "mix_loss_db", "same_text_share", "channels"} <= FACTS
    assert not FACTS & {"snr_db", "silence_share", "dc_offset", "chars_per_s", "text_ctc"}


def test_only_clips_that_a_rule_judges_count() -> None:
    sounds = [{"text": None, "language": None, "speaker": None, "group": f"g{i}"} for i in range(900)]
    verdicts = judged([{}] * 30 + sounds, [NOISY] * 10 + [{}] * 920)
    assert aside(verdicts) == 10, "a third of what it judges, one in a hundred of all"


@pytest.mark.parametrize(("clips", "others", "set_aside"), [(3, 400, 0), (13, 400, 0), (14, 400, 14), (40, 400, 40)])
def test_nearly_all_clips_of_a_speaker_need_enough_clips(clips: int, others: int, set_aside: int) -> None:
    rows = [{"speaker": "loud"}] * clips + [{}] * others
    assert aside(judged(rows, [NOISY] * clips + [{}] * others)) == set_aside


@pytest.mark.parametrize("axis", ["source", "language", "accent", "gender", "age", "label", "speaker"])
def test_each_axis_has_groups_that_a_rule_is_set_aside_for(axis: str) -> None:
    rows = [{axis: "40" if axis == "age" else "odd"}] * 30 + [{}] * 400
    table = manifest(rows)
    measured = measures(table, [PAUSES] * 30 + [{}] * 399 + [PAUSES])
    verdicts = judge(table, measured, NONE, PARAMS, POLICY)
    assert aside(verdicts, "loud_pauses") == 30
    assert verdicts["reasons"].iloc[-1] == "loud_pauses", "who is not of the group is judged as ever"
    [facts] = describe_set_aside(table, measured, verdicts, PARAMS, POLICY).values()
    [scope] = facts["scopes"]
    assert (scope["axis"], scope["clips"], scope["judged"], scope["share"]) == (axis, 30, 30, 1)
    assert scope["cell"].startswith("40" if axis == "age" else "odd")


def test_a_group_within_a_coarser_one_is_not_named_again() -> None:
    rows = [{"source": "attic", "language": "fi", "speaker": f"p{i % 2}", "group": f"g{i % 2}"} for i in range(60)]
    rows += [{"language": "fi", "speaker": "p9"}] * 20 + [{}] * 900
    table = manifest(rows)
    measured = measures(table, [NOISY] * 80 + [{}] * 900)
    verdicts = judge(table, measured, NONE, PARAMS, POLICY)
    [facts] = describe_set_aside(table, measured, verdicts, PARAMS, POLICY).values()
    assert [(scope["axis"], scope["cell"], scope["clips"]) for scope in facts["scopes"]] == [
        ("source", "attic", 60), ("language", "fi", 80),
    ]  # fmt: skip
    assert facts["clips"] == aside(verdicts) == 80


def test_the_same_id_in_two_sources_is_two_speakers() -> None:
    rows = [{"source": "a", "speaker": "1"}] * 30 + [{"source": "b", "speaker": "1", "group": "b"}] * 500
    verdicts = judged(rows, [NOISY] * 29 + [{}] * 501)
    assert aside(verdicts) == 29


def test_clips_without_a_speaker_are_no_speaker() -> None:
    rows = [{"speaker": None, "group": f"g{i}"} for i in range(30)] + [{}] * 400
    assert aside(judged(rows, [NOISY] * 30 + [{}] * 400)) == 0


def test_many_speakers_are_counted_and_some_named() -> None:
    rows = [{"speaker": f"loud{i % 20}", "source": f"s{i % 2}"} for i in range(400)] + [{"source": "s0"}] * 4_000
    table = manifest(rows)
    measured = measures(table, [NOISY] * 400 + [{}] * 4_000)
    verdicts = judge(table, measured, NONE, PARAMS, POLICY)
    [facts] = describe_set_aside(table, measured, verdicts, PARAMS, POLICY).values()
    speakers = [scope for scope in facts["scopes"] if scope["axis"] == "speaker"]
    assert len(facts["scopes"]) == MOST_SCOPES
    assert len(facts["scopes"]) + facts["more_scopes"] == len(speakers) + facts["more_scopes"] + 1
    assert facts["clips"] == 400
    json.dumps(facts)


def slow_lower_bound(flagged: int, judged: int) -> float:
    """The share p for which so many flagged clips or more have a probability of 5 %, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(flagged - 1, judged, middle) < 0.05 else (low, middle)
    return low


@pytest.mark.parametrize(("flagged", "judged"), [(1, 1), (3, 3), (14, 14), (5, 20), (80, 100), (9_999, 10_000)])
def test_the_lower_bound_is_clopper_and_pearsons(flagged: int, judged: int) -> None:
    bound = lower_bound(np.array([flagged, 0]), np.array([judged, judged]))
    assert bound[0] == pytest.approx(slow_lower_bound(flagged, judged), abs=1e-9)
    assert bound[1] == 0


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.7])
def test_fewer_clips_than_the_fewest_show_nothing_even_if_all_are_flagged(share: float) -> None:
    least = int(fewest(share))
    bounds = lower_bound(np.array([least - 1, least]), np.array([least - 1, least]))
    assert bounds[0] <= nearly_all(share) < bounds[1]
    assert (fewest(0.2), fewest(1)) == (14, np.inf)


def test_nearly_all_is_more_than_the_suspect_share_and_leaves_less_than_it() -> None:
    assert [nearly_all(share) for share in (0.1, 0.2, 0.5, 0.9, 1.0)] == [0.9, 0.8, 0.5, 0.9, 1.0]


def random_clips(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips in nested sources, languages and speakers, with flags drawn at rates of their own per speaker and rule."""
    rng = np.random.default_rng(seed)
    clips, speakers = int(10 ** rng.uniform(0, 2.7)), int(rng.integers(1, 12))
    rates = rng.choice([0.0, 0.02, 0.3, 1.0], size=(3, speakers), p=[0.5, 0.2, 0.15, 0.15])
    speaker_N = rng.integers(0, speakers, clips)
    rows = [
        {"speaker": f"p{s}", "source": f"s{s % 3}", "language": f"l{s % 2}", "gender": None if s % 4 else "female"}
        for s in speaker_N
    ]
    on_RN = rng.uniform(size=(3, clips)) < rates[:, speaker_N]
    values = [
        {"snr_db": 0.0 if on[0] else 30.0, "pause_snr_db": 0.0 if on[1] else 30.0, "clipped_share": 0.5 * on[2]}
        for on in on_RN.T
    ]
    table = manifest(rows)
    return table, measures(table, values)


def sets(joined: Iterable[str]) -> list[set[str]]:
    return [set(each.split(",")) - {""} for each in joined]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0))
def test_properties(seed: int, share: float) -> None:
    table, measured = random_clips(seed)
    params = AuditParams(suspect_share=share)
    never = judge(table, measured, NONE, AuditParams(suspect_share=1), POLICY)
    found = judge(table, measured, NONE, params, POLICY)
    assert found.equals(judge(table, measured, NONE, params, POLICY)), "a pure function"
    assert not never["set_aside"].ne("").any()
    for all_, given_, aside_ in zip(*map(sets, (never["reasons"], found["reasons"], found["set_aside"])), strict=True):
        assert given_ | aside_ == all_, "a reason applies or is set aside"
        assert not given_ & aside_
        assert aside_ <= {"noisy", "loud_pauses"}
    removed = found["verdict"] != "keep"
    assert not (removed & (never["verdict"] == "keep")).any(), "nothing is removed that was not before"
    confirmed = judge(table, measured, NONE, params.model_copy(update={"confirm": ("noisy", "loud_pauses")}), POLICY)
    assert confirmed.equals(never), "a person's word gives exactly the old verdicts"
    order = np.random.default_rng(seed).permutation(len(table))
    mixed = judge(table.iloc[order], measured, NONE, params, POLICY)
    assert mixed.set_index("clip").loc[table["clip"]].reset_index().equals(found), "whatever the order of the rows"
    facts = describe_set_aside(table, measured, found, params, POLICY)
    for code in ("noisy", "loud_pauses"):
        clips = int(sum(code in each for each in sets(found["set_aside"])))
        assert clips == facts[code]["clips"] if clips else code not in facts


def test_one_rule_may_be_confirmed_and_the_other_not() -> None:
    values = [NOISY | PAUSES] * 60 + [{}] * 40
    verdicts = judged([{}] * 100, values, confirm=("noisy",))
    assert verdicts["reasons"].iloc[:60].eq("noisy").all()
    assert verdicts["set_aside"].iloc[:60].eq("loud_pauses").all()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("loud_pause", r"audit\.confirm: 'loud_pause' is no .*; did you mean 'loud_pauses'\? Valid are noisy, loud_pa"),
        ("clipped", r"'clipped' is no soft rule over an estimate in the policy 'standard', so it is never set aside"),
        ("hum", "'hum' is no soft rule"),
        ("speaker_leak", "'speaker_leak' is no soft rule"),
    ],
)
def test_a_code_that_cannot_be_confirmed_is_an_error(code: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        policies_.check(POLICY, AuditParams(confirm=(code,)))


def test_strict_asks_for_a_persons_word_too() -> None:
    offset = [{"dc_offset": -0.085}] * 77 + [{}] * 23
    strict = POLICIES.chosen("strict")
    assert aside(judged([{}] * 100, offset, strict), "offset") == 77
    confirmed = judged([{}] * 100, offset, strict, confirm=("offset",))
    assert (confirmed["reasons"] == "offset").sum() == 77


def test_the_finding_says_how_many_and_what_to_type_and_names_three_clips() -> None:
    values = [{"pause_snr_db": 5.9 - i / 100} for i in range(77)] + [{}] * 23
    summary = audited([{}] * 100, values).summary()
    facts = summary["set_aside"]["loud_pauses"]
    assert (facts["clips"], facts["judged"], facts["share"]) == (77, 100, 0.77)
    assert facts["examples"] == ["c76", "c38", "c0"], "the worst, the middle, the one nearest to the cut-off"
    first = summary["findings"][0]
    assert first["level"] == "warn"
    assert first["text"] == (
        "loud_pauses flags 77 % of the clips (77): look at the measure or the recording chain; the rule is set aside, "
        "audit.confirm=[loud_pauses] applies it. Listen to c76, c38, c0."
    )
    assert "loud_pauses" not in summary["reasons"]
    assert summary["selected"]["clips"] == 100


def test_the_finding_names_the_groups() -> None:
    rows = [{"speaker": "ann"}] * 30 + [{"source": "attic"}] * 40 + [{}] * 400
    text = audited(rows, [NOISY] * 70 + [{}] * 400).findings()
    assert (
        "warn: noisy flags nearly all clips of source 'attic' (100 %), speaker 's × ann' (100 %): 70: look at" in text
    )
    assert "the rule is set aside for them, audit.confirm=[noisy] applies it" in text


def test_a_person_keeps_and_drops_all_the_same() -> None:
    said = pd.DataFrame([("c0", "drop", "a cough"), ("c1", "keep", "fine")], columns=["clip", "decision", "why"])
    verdicts = audited([{}] * 20, [NOISY] * 20, decided=said.astype("string")).verdicts
    assert verdicts["reasons"].tolist() == ["dropped_by_person"] + [""] * 19
    assert verdicts["overridden"].eq("").all(), "there was nothing to override"
    assert verdicts["set_aside"].eq("noisy").all()
