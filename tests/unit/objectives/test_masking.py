import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.objectives.masking import span_masks
from allears.params.objective import MaskConfig


def one(key, frames, config, seed=0, epoch=0, start=0, before=0, F=None):
    return span_masks([key], [start], [before], [frames], F or frames, config, seed, epoch)[0]


@given(
    frames=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    span=st.integers(1, 70),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_masks_lie_inside_each_clip_and_hide_something(frames, share, span, seed):
    config = MaskConfig(share=share, span_frames=span)
    keys = [f"clip-{row}" for row in range(len(frames))]
    masks = span_masks(keys, [0] * len(keys), [0] * len(keys), frames, 60, config, seed, 0)
    for mask, count in zip(masks, frames, strict=True):
        assert not mask[count:].any()
        assert mask.any() == (count > 0)


def test_a_mask_does_not_depend_on_the_batch():
    config = MaskConfig()
    together = span_masks(["a", "b", "c"], [0, 640, 0], [0, 0, 1], [50, 30, 40], 50, config, 5, 2)
    np.testing.assert_array_equal(together[1, :30], one("b", 30, config, seed=5, epoch=2, start=640))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"start": 640}, {"before": 1}, {"key": "other"}])
def test_each_of_seed_epoch_clip_crop_and_repetition_gives_another_mask(change):
    base = {"key": "clip", "frames": 200, "config": MaskConfig()}
    assert not np.array_equal(one(**base), one(**(base | change)))
    np.testing.assert_array_equal(one(**base), one(**base))


def test_a_mask_is_pinned():
    """The same in every process, version of Python and numpy: a checkpoint goes on with the masks it began with."""
    assert "".join(map(str, one("clip", 40, MaskConfig()).astype(int))) == "0011111111111000000111100000111111111111"


@pytest.mark.parametrize(("share", "span"), [(0.55, 4), (0.3, 1), (0.65, 10)])
def test_every_frame_is_hidden_with_the_same_chance(share, span):
    config = MaskConfig(share=share, span_frames=span)
    keys = [str(i) for i in range(3000)]
    masks = span_masks(keys, [0] * 3000, [0] * 3000, [20] * 3000, 20, config, 0, 0)
    np.testing.assert_allclose(masks.mean(0), share, atol=0.04)


def test_published_settings_hide_what_the_papers_say():
    """HuBERT: start probability .08, span 10; BEST-RQ: .01, span 40 (10 ms frames)."""
    assert MaskConfig(share=1 - 0.92**10, span_frames=10).start_probability == pytest.approx(0.08)
    assert MaskConfig(share=1 - 0.99**40, span_frames=40).start_probability == pytest.approx(0.01)
