from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit import rules
from allears.audit.cuts import cut_offs
from allears.params.policy import Policy, Rule
from tests.audit_tables import POLICIES, manifest, measures

NUMBER = st.one_of(st.none(), st.sampled_from([-20.0, -1.0, 0.0, 5.0, 9.99, 10.0, 10.01, 15.0, 61.0]))
CLIP = st.fixed_dictionaries({"snr_db": NUMBER, "language": st.sampled_from(["en", "de", None])})
RULES = [
    Rule(measure="snr_db", min=10.0),
    Rule(measure="snr_db", max=10.0, of="speech", needs_s=1.0),
    Rule(measure="snr_db", min=0.0, max=10.0, by_language={"de": {"min": 5.0}}),
    Rule(measure="snr_db", max=-1.0, sounds={"max": 15.0}),
    Rule(measure="snr_db", min=1.0, of="none"),
]


@settings(max_examples=25, deadline=None)
@given(st.lists(CLIP, min_size=1, max_size=8), st.sampled_from(RULES))
def test_the_excess_is_positive_exactly_where_the_rule_flags(clips: list[dict], rule: Rule) -> None:
    table = manifest([{"language": clip["language"], "text": None, "speaker": None, "group": f"g{i}"}
                      for i, clip in enumerate(clips)])  # fmt: skip
    joined = table.merge(measures(table, [{"snr_db": clip["snr_db"]} for clip in clips]), on="clip")
    (cut,) = cut_offs(joined, Policy({"code": rule}))
    assert ((cut.excess_N > 0) == rules.flagged(joined, rule)).all()
    judged = rules.judged(joined, rule) & ~np.isnan(cut.value_N)
    assert (np.isnan(cut.excess_N) == ~judged).all()


@pytest.mark.parametrize(
    ("value", "bound", "excess"),
    [(5.0, 10.0, 0.5), (10.0, 10.0, 0.0), (12.0, 10.0, -0.2), (19.0, 20.0, -0.05), (24.0, 20.0, 0.2)],
)
def test_the_nearest_bound_counts_as_a_share_of_its_size(value: float, bound: float, excess: float) -> None:
    table = manifest([{}])
    joined = table.merge(measures(table, [{"snr_db": value}]), on="clip")
    (cut,) = cut_offs(joined, Policy({"code": Rule(measure="snr_db", min=10.0, max=20.0)}))
    assert cut.excess_N == pytest.approx([excess])
    assert cut.cut_N.tolist() == [bound]


def test_every_committed_policy_has_its_cut_offs() -> None:
    table = manifest([{}, {"text": None, "language": None, "speaker": None, "group": "g"}])
    joined = table.merge(measures(table), on="clip")
    for policy in POLICIES.root.values():
        found = cut_offs(joined, policy)
        assert [cut.reason for cut in found] == list(policy.root)
        assert all(np.isfinite(cut.cut_N[~np.isnan(cut.excess_N)]).all() for cut in found)
