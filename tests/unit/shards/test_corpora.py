"""Several corpora in one plan, and read as one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.shards.batches import Cursor, iterate
from allears.shards.corpora import CorporaReader, Places, factors, joined
from allears.shards.index import read_index
from allears.shards.plan import PlanClips, PlanSpec, _generator, _windows, plan_epoch, planned_counts
from allears.shards.reader import ShardReader
from allears.shards.remote import Remote, Traffic
from tests.range_server import serving
from tests.support import make_shards

SPEC = PlanSpec(digest="", seed=5, capacity=9000, crop_length=1000)
SHARES = st.lists(st.none() | st.floats(0.01, 0.3), max_size=3)


def together(*corpora):
    """One plan of (samples, weights, shards) of each corpus."""
    first, samples, weights, shard = [], [], [], []
    for lengths, heard, shards in corpora:
        first.append(1 + (shard[-1][-1] if shard else -1))
        samples.append(np.asarray(lengths, dtype=np.int64))
        weights.append(np.broadcast_to(np.asarray(heard, dtype=np.float64), len(lengths)))
        shard.append(first[-1] + np.arange(len(lengths)) * min(shards, len(lengths)) // len(lengths))
    return PlanClips(*map(np.concatenate, (samples, weights)), np.concatenate(shard).astype(np.int32), tuple(first))


def of_corpus(clips, values_N):
    """The values of each corpus."""
    return np.split(values_N, np.searchsorted(clips.shard_N, clips.first_shards[1:]))


@given(st.lists(st.floats(1, 1e6), min_size=4, max_size=4), SHARES)
def test_factors_give_each_corpus_its_share_and_leave_the_others_as_they_are(seconds, given_shares):
    shares = [None, *given_shares]
    seconds = seconds[: len(shares)]
    found = factors(seconds, shares)
    heard = [one * factor for one, factor in zip(seconds, found, strict=True)]
    for one, factor, share in zip(heard, found, shares, strict=True):
        if share is None:
            assert factor == 1
        else:
            assert one / sum(heard) == pytest.approx(share, rel=1e-9)


@given(st.lists(st.lists(st.integers(100, 5000), min_size=1, max_size=40), min_size=2, max_size=4), SHARES, st.data())
def test_shares_hold_over_epochs_to_within_one_crop_of_each_clip(lengths, given_shares, data):
    shares = [None, *given_shares, None, None, None][: len(lengths)]
    weights = [data.draw(st.sampled_from([0.5, 1.0, 2.3])) for _ in lengths]
    crops = [np.minimum(each, SPEC.crop_length) for each in lengths]
    times = factors([float(each.sum() * weight) for each, weight in zip(crops, weights, strict=True)], shares)
    clips = together(
        *((each, weight * factor, 3) for each, weight, factor in zip(lengths, weights, times, strict=True))
    )
    epochs = 6
    counts_N = sum(planned_counts(clips, SPEC, epoch) for epoch in range(epochs))
    assert (np.abs(counts_N - clips.weights_N * epochs) <= 1 + 1e-9).all()
    heard = [(each * count).sum() for each, count in zip(crops, of_corpus(clips, counts_N), strict=True)]
    expected = [
        each.sum() * weight * factor * epochs for each, weight, factor in zip(crops, weights, times, strict=True)
    ]
    for one, wanted, each, share in zip(heard, expected, crops, shares, strict=True):
        assert abs(one - wanted) <= each.sum() * (1 + 1e-9)
        if share is not None:
            assert wanted / sum(expected) == pytest.approx(share, rel=1e-9)


@given(st.integers(0, 99), st.floats(0.05, 5), st.integers(1, 60), st.integers(1, 60))
def test_clips_of_equal_weight_are_as_many_in_every_epoch(seed, weight, first, second):
    """To within one, in each corpus."""
    spec = PlanSpec(digest="", seed=seed, capacity=9000, crop_length=1000)
    clips = together(([500] * first, 1.0, 2), ([700] * second, weight, 3))
    for epoch in range(4):
        main, other = of_corpus(clips, planned_counts(clips, spec, epoch))
        assert main.tolist() == [1] * first
        assert abs(other.sum() - weight * second) <= 1 + 1e-9


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0.1, 6), st.integers(1, 9)), min_size=2, max_size=4), st.data())
def test_every_window_holds_the_same_mix(corpora, data):
    """Each corpus has the part of a window that it has of the epoch, to within one crop."""
    clips = together(*(([1] * count, weight, shards) for count, weight, shards in corpora))
    spec = PlanSpec(digest="", seed=data.draw(st.integers(0, 99)), capacity=9000, crop_length=1000)
    crops_P = np.repeat(np.arange(len(clips)), planned_counts(clips, spec, 0))
    crops_P = _generator(1, 2).permutation(crops_P)
    window_P = _windows(clips, crops_P, data.draw(st.integers(1, 4)), _generator(3, 4))
    assert (window_P >= 0).all()
    corpus_P = np.searchsorted(clips.first_shards, clips.shard_N[crops_P], side="right") - 1
    table_CW = np.array(
        [np.bincount(window_P[corpus_P == c], minlength=window_P.max(initial=0) + 1) for c in range(len(corpora))]
    )
    shards = [len(np.unique(clips.shard_N[crops_P[corpus_P == c]])) for c in range(len(corpora))]
    lead_W = table_CW[int(np.argmax(shards))]
    expected_CW = table_CW.sum(1, keepdims=True) * lead_W / max(lead_W.sum(), 1)
    assert (np.abs(table_CW - expected_CW) <= 1).all()


def test_a_small_corpus_is_repeated_pass_after_pass():
    """Its clips come back evenly over the epoch, not all copies of one at once."""
    clips = together(([1] * 80, 1.0, 8), ([1] * 10, 4.0, 1))
    crops_P = _generator(1, 2).permutation(np.repeat(np.arange(90), planned_counts(clips, SPEC, 0)))
    window_P = _windows(clips, crops_P, 2, _generator(3, 4))  # four windows, four passes
    for clip in range(80, 90):
        assert sorted(window_P[crops_P == clip]) == [0, 1, 2, 3]


def test_the_same_numbers_on_every_machine():
    spec = PlanSpec(
        digest="", seed=7, capacity=3000, crop_length=1000, start_multiple=10, group=2, pool=4,
        window_shards=1,
    )  # fmt: skip
    plan = plan_epoch(together((np.arange(1, 8) * 200, 1.0, 2), ([900, 1500], 1.5, 1)), spec, 1)
    assert plan.clip_P.tolist() == [8, 7, 2, 3, 0, 1, 7, 5, 4, 6]
    assert plan.start_P.tolist() == [150, 0, 0, 0, 0, 0, 0, 190, 0, 340]
    assert plan.bounds_M.tolist() == [0, 3, 5, 6, 7, 10, 10]


def test_clips_are_read_from_the_shards_of_their_corpus(tmp_path: Path) -> None:
    """The two have clips of the same ids, and tars of the same names."""
    sets = [make_shards(tmp_path / name, clips=clips, seed=seed, shards=shards)[0] for name, clips, seed, shards in (
        ("one", 12, 0, 2), ("two", 7, 1, 3),
    )]  # fmt: skip
    spec = PlanSpec(digest="", seed=0, capacity=60_000, crop_length=20_000, start_multiple=100, group=2)
    with (
        ShardReader(sets[0]) as first,
        ShardReader(sets[1]) as second,
        CorporaReader(sets, [read_index(one) for one in sets]) as both,
    ):
        assert both.index.first_shards == (0, 2)
        assert joined([first.index]) is first.index
        seen = []
        for batch in iterate(both, spec, np.ones(19), begin=Cursor(), last_step=1000):
            if batch.epoch:
                break
            for row, place in enumerate(batch.place_B.tolist()):
                reader, inner = (first, place) if place < 12 else (second, place - 12)
                assert batch.keys[row] == reader.index.clips[inner]
                samples, start = int(batch.lengths_B[row]), int(batch.starts_B[row])
                expected = reader.read(inner, start, samples)
                np.testing.assert_array_equal(batch.audio_BT[row, :samples], expected)
                seen.append(place)
        assert sorted(seen) == list(range(19))


def test_copies_of_two_corpora_give_the_batches_of_their_tars(tmp_path: Path) -> None:
    sets = [make_shards(tmp_path / name, clips=20, seconds=0.4, seed=seed)[0] for seed, name in enumerate(("a", "b"))]
    spec = PlanSpec(digest="", seed=0, capacity=60_000, crop_length=20_000, start_multiple=100)
    with serving(sets[0].folder) as one, serving(sets[1].folder) as other:
        copies = [Remote(url=each.url, round_bytes=100_000) for each in (one, other)]
        with (
            CorporaReader(sets, [read_index(one) for one in sets]) as tars,
            CorporaReader(sets, [read_index(one) for one in sets], copies) as buckets,
        ):
            near, far = (
                list(iterate(reader, spec, np.ones(40), begin=Cursor(), last_step=9)) for reader in (tars, buckets)
            )
            assert buckets.traffic().requests == len(one.asked) + len(other.asked)
            assert one.asked
            assert other.asked
            assert tars.traffic() == Traffic()
    for here, there in zip(near, far, strict=True):
        assert here.place_B.tolist() == there.place_B.tolist()
        np.testing.assert_array_equal(here.audio_BT, there.audio_BT)


def test_places_count_on_over_corpora():
    places = Places([3, 0, 2])
    assert [places.of(place) for place in range(5)] == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]
