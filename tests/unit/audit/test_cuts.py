from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.cuts import cut_offs
from allears.params.audit import QualityParams
from tests.audit_tables import manifest, measures

MEASURED = st.fixed_dictionaries(
    {
        "snr_db": st.one_of(st.none(), st.sampled_from([-20.0, 9.99, 10.0, 10.01, 40.0])),
        "clipped_share": st.sampled_from([0.0, 0.005, 0.0051, 1.0]),
        "silence_share": st.sampled_from([0.0, 0.6, 0.61, 0.95, 0.96]),
        "bandwidth_hz": st.one_of(st.none(), st.sampled_from([1000.0, 2400.0, 2399.0, 4800.0, 4799.0, 8000.0])),
        "decoded_rate_hz": st.sampled_from([8_000.0, 16_000.0, 48_000.0]),
        "decoded_duration_s": st.one_of(st.none(), st.sampled_from([0.05, 0.1, 0.99, 1.0, 1.95, 2.0, 2.2, 60.0, 61.0])),
        "spoken": st.booleans(),
    }
)


def slow_flags(row: dict, params: QualityParams) -> set[str]:
    """The rules, a clip at a time; unknown compares as False."""

    def number(name: str) -> float:
        return math.nan if row[name] is None else row[name]

    flags = set()
    seconds, promised = number("decoded_duration_s"), min(16_000, number("decoded_rate_hz")) / 2
    judged = {"speech": row["spoken"], "all": True, "none": False}[params.snr_of]
    if judged and seconds >= params.snr_needs_s and number("snr_db") < params.min_snr_db:
        flags.add("noisy")
    if row["clipped_share"] > params.max_clipped_share:
        flags.add("clipped")
    if row["silence_share"] > (params.max_silence_share if row["spoken"] else params.max_silence_share_of_sounds):
        flags.add("silent")
    if row["spoken"] and number("bandwidth_hz") < params.min_bandwidth_share * promised:
        flags.add("upsampled")
    if abs(seconds - 2.0) > params.max_duration_difference_s:
        flags.add("truncated")
    if seconds < params.min_duration_s:
        flags.add("too_short")
    if seconds > params.max_duration_s:
        flags.add("too_long")
    return flags


@settings(max_examples=60, deadline=None)
@given(st.lists(MEASURED, min_size=1, max_size=8), st.sampled_from(["speech", "all", "none"]))
def test_cut_offs_flag_what_the_rules_say(rows: list[dict], snr_of: str) -> None:
    params = QualityParams(snr_of=snr_of)  # type: ignore[arg-type]
    known = [{} if row["spoken"] else {"text": None, "language": None, "speaker": None} for row in rows]
    table = manifest(known).assign(group=[f"g{i}" for i in range(len(rows))])
    values = [{name: value for name, value in row.items() if name != "spoken"} for row in rows]
    joined = table.merge(measures(table, values), on="clip")
    found = {cut.reason: cut for cut in cut_offs(joined, params)}
    for place, row in enumerate(rows):
        assert {name for name, cut in found.items() if cut.flagged()[place]} == slow_flags(row, params)
    for cut in found.values():
        excess = cut.excess()
        assert ((excess > 0) == cut.flagged()).all()
        assert (np.isnan(excess) == (np.isnan(cut.value_N) | np.isnan(cut.cut_N))).all()


@pytest.mark.parametrize(("value", "excess"), [(5.0, 0.5), (10.0, 0.0), (12.5, -0.25)])
def test_the_excess_is_a_share_of_the_cut_off(value: float, excess: float) -> None:
    table = manifest([{}])
    joined = table.merge(measures(table, [{"snr_db": value}]), on="clip")
    assert cut_offs(joined, QualityParams())[0].excess() == pytest.approx([excess])
