import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.errors import ConfigError, CorpusError, StaleError
from allears.shards.batches import Cursor, _places, advanced, plan_digest, totals
from allears.shards.plan import PlanClips, PlanSpec, plan_epoch, planned_counts

lengths = st.lists(st.integers(1, 5000), min_size=1, max_size=120).map(lambda values: np.array(values, dtype=np.int64))
specs = st.builds(
    PlanSpec,
    digest=st.just("data"),
    seed=st.integers(0, 2**40),
    capacity=st.integers(2000, 20_000),
    crop_length=st.integers(100, 2000),
    start_multiple=st.integers(1, 700),
    group=st.integers(1, 6),
    pool=st.integers(1, 50),
    window_shards=st.integers(1, 4),
)


def planned(samples, weights=None, shards=9):
    """Clips to plan, the weights all 1 unless given, in so many shards of like size."""
    weights = np.ones(len(samples)) if weights is None else weights
    shard_N = np.arange(len(samples)) * shards // max(len(samples), 1)
    return PlanClips(np.asarray(samples), np.asarray(weights, dtype=np.float64), shard_N.astype(np.int32))


@st.composite
def mixes(draw):
    """Clips of one to three corpora, of random lengths, weights and numbers of shards; one of them is always heard."""
    samples = draw(lengths)
    weights = np.array(draw(st.lists(st.floats(0, 3), min_size=len(samples), max_size=len(samples))))
    weights[draw(st.integers(0, len(samples) - 1))] = 1.0
    clips = planned(samples, weights, shards=draw(st.integers(1, 12)))
    corpora = {0, *draw(st.lists(st.integers(0, int(clips.shard_N.max())), max_size=2))}
    return replace(clips, first_shards=tuple(sorted(corpora)))


@st.composite
def bucketed(draw):
    """Clips, one of them long enough for a crop, and a spec with one to five buckets."""
    spec, clips = draw(specs), draw(mixes())
    smaller = draw(st.sets(st.integers(50, spec.crop_length - 1), max_size=4))
    clips.lengths_N[clips.weights_N == 1] += spec.crop_length
    return clips, replace(spec, buckets=(*sorted(smaller), spec.crop_length))


@given(mixes(), specs, st.integers(0, 3))
def test_a_crop_says_how_often_the_epoch_has_heard_its_clip(clips, spec, epoch):
    plan = plan_epoch(clips, spec, epoch)
    came = [plan.clip_P[:place].tolist().count(clip) for place, clip in enumerate(plan.clip_P.tolist())]
    assert plan.before_P.tolist() == came


@given(lengths, specs, st.integers(0, 5))
def test_at_weight_one_every_clip_is_planned_exactly_once(samples, spec, epoch):
    plan = plan_epoch(planned(samples), spec, epoch)
    assert sorted(plan.clip_P.tolist()) == list(range(len(samples)))


@given(lengths, specs)
def test_batches_keep_to_the_capacity_and_crops_to_their_clips(samples, spec):
    plan = plan_epoch(planned(samples), spec, 0)
    padded = 0
    for first, last in zip(plan.bounds_M[:-1], plan.bounds_M[1:], strict=True):
        if last > first:
            batch = (last - first) * plan.lengths_P[first:last].max()
            assert batch <= spec.capacity
            padded += batch
    assert plan.padded_length == padded
    np.testing.assert_array_equal(plan.lengths_P, np.minimum(samples[plan.clip_P], spec.crop_length))
    assert (plan.start_P >= 0).all()
    assert (plan.start_P + plan.lengths_P <= samples[plan.clip_P]).all()
    assert (plan.start_P % spec.start_multiple == 0).all()
    assert plan.micro_batches % spec.group == 0
    assert np.diff(plan.bounds_M)[: plan.micro_batches - spec.group + 1].all()  # only the last step is padded


@given(bucketed(), st.integers(0, 3))
def test_with_buckets_no_batch_is_padded_and_every_clip_is_used_as_often_as_without(drawn, epoch):
    clips, spec = drawn
    plan = plan_epoch(clips, spec, epoch)
    for first, last in itertools.pairwise(plan.bounds_M.tolist()):
        lengths_B = plan.lengths_P[first:last]
        assert len(set(lengths_B.tolist())) <= 1  # one length per micro-batch, so nothing is padded
        assert lengths_B.sum() <= spec.capacity
    assert plan.padded_length == plan.lengths_P.sum()
    for clip, start, length in zip(plan.clip_P, plan.start_P, plan.lengths_P, strict=True):
        whole = int(clips.lengths_N[clip])
        assert length == max(bucket for bucket in spec.buckets if bucket <= whole)
        assert 0 <= start <= whole - length
        assert start % spec.start_multiple == 0
    without = plan_epoch(clips, replace(spec, buckets=(), min_length=spec.buckets[0]), epoch)
    assert sorted(plan.clip_P.tolist()) == sorted(without.clip_P.tolist())
    assert plan.micro_batches % spec.group == 0


@given(bucketed(), st.integers(1, 12))
def test_totals_with_buckets_count_no_padding(drawn, steps):
    found = totals(*drawn, Cursor(), steps)
    assert found.padded == found.length


def test_a_clip_that_is_shorter_than_the_smallest_bucket_is_left_out():
    """Its samples would end before its crop does."""
    spec = PlanSpec(digest="", seed=0, capacity=1000, crop_length=1000, min_length=100, buckets=(400, 1000))
    plan = plan_epoch(planned([399, 400, 100, 1500]), spec, 0)
    assert sorted(zip(plan.clip_P.tolist(), plan.lengths_P.tolist(), strict=True)) == [(1, 400), (3, 1000)]
    with pytest.raises(CorpusError, match="shorter than the smallest crop"):
        totals(planned([399]), spec, Cursor(), 5)


@pytest.mark.parametrize("buckets", [(500,), (1000, 500), (500, 500, 1000), (500, 2000)])
def test_buckets_must_ascend_to_the_crop(buckets):
    with pytest.raises(ConfigError, match="must ascend to the crop of 1000; found"):
        PlanSpec(digest="", seed=0, capacity=2000, crop_length=1000, min_length=500, buckets=buckets)


@given(lengths, specs, st.integers(0, 3))
def test_a_window_holds_the_clips_of_its_shards_and_all_of_them(samples, spec, epoch):
    clips = planned(samples)
    plan = plan_epoch(clips, spec, epoch)
    shards = clips.shard_N[plan.clip_P].tolist()
    counts = np.bincount(clips.shard_N, minlength=int(clips.shard_N.max()) + 1)
    seen: list[set[int]] = []
    at = 0
    while at < len(shards):  # the first crops say which shards are together: as many as a window has
        window: set[int] = set()
        length = 0
        while length < len(shards) - at and (shards[at + length] in window or len(window) < spec.window_shards):
            window.add(shards[at + length])
            length += 1
        assert length == sum(counts[shard] for shard in window)
        assert all(window.isdisjoint(other) for other in seen)
        seen.append(window)
        at += length


@given(lengths, st.integers(0, 99), st.data())
def test_counts_over_epochs_are_within_one_of_the_weight(samples, seed, data):
    weights = np.array(data.draw(st.lists(st.floats(0, 4), min_size=len(samples), max_size=len(samples))))
    spec = PlanSpec(digest="", seed=seed, capacity=9000, crop_length=9000)
    counts = np.cumsum([planned_counts(planned(samples, weights), spec, epoch) for epoch in range(8)], axis=0)
    expected = weights * np.arange(1, 9)[:, None]
    assert (np.abs(counts - expected) <= 1 + 1e-9).all()
    assert (counts[:, weights == 0] == 0).all()


def test_half_a_weight_is_heard_in_every_second_epoch_and_half_of_them_in_each():
    spec = PlanSpec(digest="", seed=3, capacity=9000, crop_length=9000)
    samples, weights = np.full(101, 800), np.full(101, 0.5)
    first, second = (planned_counts(planned(samples, weights), spec, epoch) for epoch in (0, 1))
    assert (first + second == 1).all()
    assert first.sum() in {50, 51}


def test_short_clips_are_left_out_and_nothing_to_hear_is_a_sentence():
    spec = PlanSpec(digest="", seed=0, capacity=1000, crop_length=1000, min_length=100)
    assert plan_epoch(planned([99, 100]), spec, 0).clip_P.tolist() == [1]
    with pytest.raises(CorpusError, match="all weights are zero"):
        plan_epoch(planned([500], [0.0]), spec, 0)
    with pytest.raises(CorpusError, match="shorter than the smallest crop"):
        totals(planned([50]), spec, Cursor(), 5)
    with pytest.raises(ConfigError, match="fit into a batch"):
        PlanSpec(digest="", seed=0, capacity=10, crop_length=11)


@settings(max_examples=60)
@given(mixes(), specs, st.integers(1, 12))
def test_all_ranks_together_hear_the_plan_of_one(clips, spec, steps):
    whole = _micro(clips, spec, Cursor(), steps, 0, 1)
    for world in (w for w in range(2, spec.group + 1) if spec.group % w == 0):
        ranks = [_micro(clips, spec, Cursor(), steps, rank, world) for rank in range(world)]
        share = spec.group // world
        merged = [
            batch for step in range(steps) for k in range(share) for batch in (rank[step * share + k] for rank in ranks)
        ]
        assert merged == whole


@given(mixes(), specs, st.integers(1, 12))
def test_no_rank_is_without_work_before_the_last_step_of_an_epoch(clips, spec, steps):
    whole = _micro(clips, spec, Cursor(), steps + 1, 0, 1)
    for step in range(steps):
        micros = whole[step * spec.group : (step + 1) * spec.group]
        assert micros[0][2]  # no step is all padding
        last = whole[(step + 1) * spec.group][1] > micros[0][1]
        assert last or all(crops for _, _, crops in micros)


@settings(max_examples=60)
@given(mixes(), specs, st.integers(1, 12), st.data())
def test_a_prefix_and_what_is_resumed_are_the_whole(clips, spec, steps, data):
    """Killed at any step, as often as it likes, and gone on with any number of ranks."""
    whole = _micro(clips, spec, Cursor(), steps, 0, 1)
    kills = sorted(data.draw(st.lists(st.integers(0, steps), max_size=3)))
    found, cursor = [], Cursor()
    for until in (*kills, steps):
        world = data.draw(st.sampled_from([w for w in range(1, spec.group + 1) if spec.group % w == 0]))
        ranks = [_micro(clips, spec, cursor, until, rank, world) for rank in range(world)]
        found += [batch for together in zip(*ranks, strict=True) for batch in together]
        for plan, _, at in _places(clips, spec, cursor, until, 0, 1):
            cursor = at.after(plan.micro_batches // spec.group)
        cursor = Cursor.resume(cursor.state(spec, {}), spec, {})
    assert found == whole


def test_a_state_of_other_batches_is_refused():
    spec = PlanSpec(digest="a", seed=0, capacity=1000, crop_length=1000)
    other = PlanSpec(digest="a", seed=1, capacity=1000, crop_length=1000)
    state = Cursor(3, 1, 1).state(spec, {"shards": "a" * 64, "clips": 7})
    assert Cursor.resume(state, spec, {"shards": "a" * 64, "clips": 7}) == Cursor(3, 1, 1)
    with pytest.raises(StaleError, match=r"Changed: pretrain\.seed \(then 0, now 1\)$"):
        Cursor.resume(state, other, {"shards": "a" * 64, "clips": 7})
    changed = replace(spec, digest="b", capacity=2000)
    expected = (
        r"Changed: the capacity of a batch \(pretrain\.batch\.seconds or tokens\) \(then 1000, now 2000\), "
        r"the shards \(then a{12}, now c{12}\), the number of clips selected \(then 7, now 8\)$"
    )
    with pytest.raises(StaleError, match=expected):
        Cursor.resume(state, changed, {"shards": "c" * 64, "clips": 8})
    with pytest.raises(StaleError, match=r"Changed: the data \(then a, now b\)$"):  # something that no fact tells
        Cursor.resume(state, replace(spec, digest="b"), {"shards": "a" * 64, "clips": 7})


@pytest.mark.parametrize("field", [field.name for field in fields(PlanSpec)])
def test_every_setting_of_a_plan_is_in_its_state(field):
    spec = PlanSpec(digest="a", seed=0, capacity=2000, crop_length=1000)
    changed = {"digest": "b", "buckets": (500, 1000)}.get(field) or getattr(spec, field) + 1
    other = replace(spec, **{field: changed})
    assert plan_digest(other) != plan_digest(spec)
    with pytest.raises(StaleError, match="counts other batches"):
        Cursor.resume(Cursor().state(spec, {}), other, {})


@given(lengths, specs, st.integers(0, 9), st.integers(1, 9))
def test_totals_count_what_is_heard_from_any_step_on(samples, spec, first, steps):
    clips = planned(samples)
    begin = advanced(clips, spec, advanced(clips, spec, Cursor(), first // 2), first)
    found = totals(clips, spec, begin, first + steps)
    batches = [
        crops for step, _, crops in _micro(clips, spec, Cursor(), first + steps, 0, 1) if crops and step >= first
    ]
    assert found.clips == sum(len(crops) for crops in batches)
    assert found.length == sum(length for crops in batches for _, _, length in crops)
    assert found.padded == sum(len(crops) * max(length for _, _, length in crops) for crops in batches)
    assert found.micro_batches == len(batches)


def test_the_same_numbers_on_every_machine():
    spec = PlanSpec(
        digest="", seed=7, capacity=3000, crop_length=1000, start_multiple=10, group=2, pool=4,
        window_shards=1,
    )  # fmt: skip
    plan = plan_epoch(planned(np.arange(1, 11) * 200, shards=2), spec, 1)
    assert plan.clip_P.tolist() == [9, 8, 5, 6, 7, 3, 0, 4, 2, 1]
    assert plan.start_P.tolist() == [380, 240, 190, 350, 510, 0, 0, 0, 0, 0]
    assert plan.bounds_M.tolist() == [0, 3, 4, 5, 6, 7, 10]


def _micro(clips, spec, begin, steps, rank, world):
    """(step, epoch, crops) of every micro-batch."""
    found = []
    for plan, micro, at in _places(clips, spec, begin, steps, rank, world):
        rows = slice(plan.bounds_M[micro], plan.bounds_M[micro + 1])
        crops = zip(plan.clip_P[rows], plan.start_P[rows], plan.lengths_P[rows], strict=True)
        found.append((at.step, at.epoch, [tuple(int(value) for value in crop) for crop in crops]))
    return found
