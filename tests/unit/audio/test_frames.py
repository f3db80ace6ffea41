import itertools

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from allears import frames


@given(st.integers(0, 10_000_000), st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]))
def test_samples_survive_the_way_through_seconds(samples: int, rate: int) -> None:
    assert frames.to_samples(frames.to_seconds(samples, rate), rate) == samples


@pytest.mark.parametrize(
    ("rate", "new"), [(8_000, 16_000), (22_050, 16_000), (44_100, 16_000), (48_000, 16_000), (16_000, 11_025)]
)
@pytest.mark.parametrize("samples", [1, 7, 441, 4_410, 10_007])
def test_resampled_length_is_what_soxr_returns(samples: int, rate: int, new: int) -> None:
    assert frames.resampled_length(samples, rate, new) == soxr.resample(np.zeros(samples, np.float32), rate, new).size


@pytest.mark.parametrize(("samples", "count"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_only_whole_windows_count(samples: int, count: int) -> None:
    assert frames.window_count(samples, 400, 160) == count


@given(st.floats(0, 1000), st.floats(0.1, 40_000), st.floats(4, 60))
def test_pieces_touch_cover_and_are_neither_long_nor_slivers(start: float, length: float, longest: float) -> None:
    pieces = frames.equal_pieces(start, start + length, longest)
    assert pieces[0][0] == start
    assert pieces[-1][1] == start + length
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    lengths = [end - begin for begin, end in pieces]
    assert max(lengths) <= longest + 1e-6
    assert len(pieces) == 1 or min(lengths) > longest / 2 - 1e-6
