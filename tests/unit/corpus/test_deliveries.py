"""Any sequence of deliveries, renames, changes and withdrawals: the rows of a corpus read from scratch, at lasting
places, in lasting splits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.corpus.build import Built, build, write_manifest
from allears.corpus.clips import Recording
from allears.corpus.corrections import Correction
from allears.corpus.deliveries import Before, group_name, seconds_of
from allears.corpus.left import note_left, read_left
from allears.corpus.listing import COLUMNS
from allears.corpus.manifest import PLACES, Gaps
from allears.corpus.probe import Probed
from allears.corpus.versions import changes_between
from allears.corpus.withdrawn import Refused, Tombstone
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.ingest import IngestParams
from allears.shards.writer import deal
from tests.long import LONG

PARAMS = IngestParams()
ROOT = Path("/corpus")
SPEAKERS = "abcdef"
NOT_ALIKE = ["clip", *PLACES, "split", "split_origin"]  # what depends on what was there before
TARS = {"target_mb": 256.0, "min_shards": 4, "sample_rate_hz": 16_000}


@dataclass(frozen=True)
class World:
    """Files by path (content, seconds), the manifest so far, what was withdrawn, and each group's split so far."""

    files: dict[str, tuple[int, float]] = field(default_factory=dict)
    before: Before | None = None
    tombstones: tuple[Tombstone, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)

    def build(self, before: Before | None) -> Built:
        return build(listing(self.files), facts(self.files), PARAMS, before, Refused(self.tombstones))


def listing(files: dict[str, tuple[int, float]]) -> pd.DataFrame:
    rows = [
        dict.fromkeys(COLUMNS) | {"source": "s", "root": str(ROOT), "name": path, "path": path,
                                  "speaker": path[0], "text": f"text of {path}"}
        for path in sorted(files)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def facts(files: dict[str, tuple[int, float]]) -> dict[Recording, Probed]:
    return {
        Recording(ROOT / path): Probed(
            sha256=f"{content:064d}", bytes=1, codec="wav", sample_rate_hz=8_000, channels=1, duration_s=seconds
        )
        for path, (content, seconds) in files.items()
    }


def ingest(world: World) -> World:
    """The next version; every promise about the step is checked."""
    built = world.build(world.before)
    table = built.clips
    scratch = world.build(None).clips
    order = ["source", "path"]
    pd.testing.assert_frame_equal(
        table.drop(columns=NOT_ALIKE).sort_values(order, ignore_index=True),
        scratch.drop(columns=NOT_ALIKE).sort_values(order, ignore_index=True),
        check_dtype=False,
    )
    assert table["clip"].is_unique
    assert not table.duplicated(["delivery", "place_s"]).any()
    assert list(zip(table["delivery"], table["place_s"], strict=True)) == sorted(
        zip(table["delivery"], table["place_s"], strict=True)
    )
    earlier = world.before.deliveries if world.before else ()
    splits = dict(zip(table["group"], table["split"], strict=True))
    carved = {group_name(group): split for group, split in (world.splits | splits).items()}
    now = Before(table, seconds_of(table, earlier), carved)
    assert now.deliveries[: len(earlier)] == earlier
    if world.before is not None:
        was, known = tars(world.before), tars(now)
        assert {clip: known[clip] for clip in known if clip in was} == {c: was[c] for c in was if c in known}
        assert not {known[clip] for clip in known if clip not in was} & set(was.values())
    assert all(world.splits.get(group, split) == split for group, split in splits.items())
    return replace(world, before=now, splits=world.splits | splits)


def tars(before: Before) -> dict[str, int]:
    clips = before.clips
    numbers = deal(clips["delivery"].to_numpy(), clips["place_s"].to_numpy(), before.deliveries, **TARS)
    return dict(zip(clips["clip"], numbers.tolist(), strict=True))


def withdraw(world: World, path: str) -> World:
    """As `allears withdraw`: a tombstone, and the rows leave the manifest."""
    assert world.before is not None
    content, seconds = world.files[path]
    stone = Tombstone(
        file_sha256=f"{content:064d}", channel=None, start_s=0.0, end_s=seconds, pcm_sha256=None, row=None, why="",
        when="",
    )  # fmt: skip
    clips = world.before.clips
    left = clips[clips["file_sha256"] != stone.file_sha256].reset_index(drop=True)
    return replace(world, before=replace(world.before, clips=left), tombstones=(*world.tombstones, stone))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "new", "rename", "change", "drop", "withdraw", "ingest"]),
        st.integers(0, 10_000),
        st.sampled_from(SPEAKERS),
    ),
    min_size=3,
    max_size=40,
)


@settings(max_examples=200 if LONG else 25, deadline=None)
@given(STEPS)
def test_any_sequence_of_deliveries(steps: list[tuple[str, int, str]]) -> None:
    world = World({"a0.wav": (1_000_000, 2.0), "b0.wav": (1_000_001, 3.5), "c0.wav": (1_000_002, 1.0)})
    world = ingest(world)
    for number, (kind, draw, speaker) in enumerate(steps):
        files = dict(world.files)
        path = sorted(files)[draw % len(files)] if files else None
        match kind:
            case "new":
                files[f"{speaker}{number}.wav"] = (number, 0.5 + draw % 7)
            case "rename" if path:
                files[f"{path[0]}{number}.wav"] = files.pop(path)
            case "change" if path:
                files[path] = (number, 0.5 + draw % 5)
            case "drop" if path and len(files) > 1:
                del files[path]
            case "withdraw" if path and (world.before.clips["path"] == path).any():  # type: ignore[union-attr]
                world = withdraw(world, path)
            case "ingest":
                world = ingest(replace(world, files=files))
                continue
        world = replace(world, files=files)
    ingest(world)


def two(files: dict[str, tuple[int, float]], then: dict[str, tuple[int, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    first = World(files).build(None).clips
    return first, World(then).build(Before(first, seconds_of(first))).clips


def test_what_is_moved_or_renamed_is_known_by_its_content() -> None:
    first, second = two({"a0.wav": (1, 2.0), "b0.wav": (2, 2.0)}, {"b0.wav": (2, 2.0), "a/other.wav": (1, 2.0)})
    assert list(second["clip"]) == list(first["clip"])
    assert list(second["path"]) == ["a/other.wav", "b0.wav"]
    changes = changes_between(first, second)
    assert changes.moved == (first["clip"][0],)
    assert changes.counts()["came"] == changes.counts()["went"] == changes.counts()["changed"] == 0
    third = World({"a/other.wav": (1, 2.0), "b0.wav": (2, 2.0)}).build(Before(second, seconds_of(second))).clips
    pd.testing.assert_frame_equal(third, second)


def test_an_id_that_moved_away_is_not_given_again() -> None:
    first, second = two({"a0.wav": (1, 2.0)}, {"a1.wav": (1, 2.0)})
    third = World({"a1.wav": (1, 2.0), "a0.wav": (5, 2.0)}).build(Before(second, (2.0,))).clips
    assert third["clip"].is_unique
    assert third["clip"][0] == first["clip"][0]
    assert third["path"].tolist() == ["a1.wav", "a0.wav"]
    again = World({"a1.wav": (1, 2.0), "a0.wav": (5, 2.0)}).build(Before(third, (2.0, 2.0))).clips
    pd.testing.assert_frame_equal(again, third)


def test_a_changed_file_is_a_new_version_of_its_clip() -> None:
    first, second = two({"a0.wav": (1, 2.0), "b0.wav": (2, 2.0)}, {"a0.wav": (9, 3.0), "b0.wav": (2, 2.0)})
    assert list(second["clip"]) == list(first["clip"])
    assert changes_between(first, second).changed == (first["clip"][0],)
    assert second["place_s"].tolist() == first["place_s"].tolist()


def test_a_correction_changes_the_row_its_group_and_no_id() -> None:
    world = World({f"{speaker}0.wav": (i, 2.0) for i, speaker in enumerate(SPEAKERS)})
    first = world.build(None).clips
    clip, other = first["clip"][0], first["group"][1]
    fixes = [
        Correction(clip=clip, column="text", value="said otherwise", where="line 2"),
        Correction(clip=clip, column="speaker", value="b", where="line 3"),
    ]
    before = Before(first, seconds_of(first))
    table = build(listing(world.files), facts(world.files), PARAMS, before, corrections=fixes).clips
    assert table.loc[0, ["clip", "text", "group"]].tolist() == [clip, "said otherwise", other]
    assert table["split"][0] == table["split"][1] == first["split"][1]
    assert changes_between(first, table).counts() == {
        "came": 0, "went": 0, "changed": 0, "moved": 0, "corrected": 1,
    }  # fmt: skip
    unknown = replace(fixes[0], clip=clip[:-1])
    with pytest.raises(CorpusError, match=rf"line 2: .* is no clip of this corpus, and never was one; did .* '{clip}'"):
        build(listing(world.files), facts(world.files), PARAMS, before, corrections=[unknown])


def test_a_correction_of_a_clip_that_left_applies_to_nothing(tmp_path: Path) -> None:
    files = {f"{speaker}0.wav": (i, 2.0) for i, speaker in enumerate(SPEAKERS)}
    first = World(files).build(None).clips
    lost, kept = first["clip"][0], first["clip"][1]
    fixes = [Correction(clip=clip, column="text", value="new", where="line 2") for clip in (lost, kept)]
    del files["a0.wav"]
    rows, known = listing(files), facts(files)
    second = build(rows, known, PARAMS, Before(first, seconds_of(first)), corrections=fixes)
    assert second.idle == 1
    assert second.clips.set_index("clip")["text"].eq("new").to_dict() == {
        clip: clip == kept for clip in first["clip"][1:]
    }
    before, paths = Before(second.clips, seconds_of(first)), Paths(corpus="mine", data=tmp_path)
    with pytest.raises(CorpusError, match="never was one"):
        build(rows, known, PARAMS, before, corrections=fixes)
    note_left(paths, [lost])  # what ingest and a withdrawal write down
    assert build(rows, known, PARAMS, before, corrections=fixes, left=read_left(paths)).idle == 1
    assert lost.encode() not in (paths.intermediate / "left.parquet").read_bytes()
    with pytest.raises(CorpusError, match=f"did you mean '{kept}'"):
        build(rows, known, PARAMS, before, corrections=[replace(fixes[1], clip=kept + "x")], left=read_left(paths))


def test_a_piece_that_overlaps_what_was_withdrawn_stays_out() -> None:
    files = {"a0.wav": (1, 65.0), "b0.wav": (2, 2.0)}
    pieces = World(files).build(None).clips
    gone = pieces.iloc[1]
    stone = Tombstone(
        file_sha256=gone["file_sha256"], channel=None, start_s=gone["start_s"], end_s=gone["end_s"], pcm_sha256=None,
        row=None, why="", when="",
    )  # fmt: skip
    left = World(files, tombstones=(stone,)).build(None)
    assert set(pieces["clip"]) - set(left.clips["clip"]) == {gone["clip"]}
    assert left.quarantine.empty
    assert left.gaps == Gaps(withdrawn_s=gone["end_s"] - gone["start_s"])
    assert seconds(left) == pytest.approx(67.0)
    other = PARAMS.model_copy(update={"segment_max_s": 20.0})
    again = build(listing(files), facts(files), other, None, Refused([stone]))
    assert seconds(again) == pytest.approx(67.0)
    cut = again.clips
    spans = [(row.start_s, row.end_s) for row in cut[cut["path"] == "a0.wav"].itertuples()]
    assert all(end <= gone["start_s"] + 1e-3 or start >= gone["end_s"] - 1e-3 for start, end in spans)
    whole = build(listing(files), facts(files), PARAMS.model_copy(update={"segment": "none"}), None, Refused([stone]))
    assert seconds(whole) == pytest.approx(2.0)  # the other row is in the quarantine
    assert whole.quarantine[["reason", "clip", "path"]].astype(object).to_numpy().tolist()[0][0] == "withdrawn"
    assert whole.quarantine[["clip", "path"]].isna().all(axis=None)


def seconds(built: Built) -> float:
    """Of the rows that were used: in clips and in none."""
    clips_s = float((built.clips["end_s"] - built.clips["start_s"]).sum())
    return clips_s + built.gaps.pauses_s + built.gaps.withdrawn_s


def test_parts_of_earlier_deliveries_stay(tmp_path: Path) -> None:
    world = World({"a0.wav": (1, 2.0)})
    first = write_manifest(world.build(None).clips, tmp_path)
    before = Before(first.frame(), first.deliveries)
    grown = replace(world, files=world.files | {"b0.wav": (2, 2.0)}).build(before).clips
    second = write_manifest(grown, tmp_path, seconds_of(grown, before.deliveries), first.digest)
    assert second.parts[0] == first.parts[0]
    assert len(second.parts) == 2
    assert second.deliveries == (2.0, 2.0)


@given(st.lists(st.lists(st.floats(0.1, 40.0), min_size=1, max_size=20), min_size=1, max_size=5), st.integers(1, 9))
def test_deal_against_a_walk_along_the_clips(deliveries: list[list[float]], min_shards: int) -> None:
    number, so_far, expected = 0, 0.0, []
    for clips in deliveries:
        so_far += float(np.cumsum(clips)[-1])
        tar_s = 2.0 ** np.floor(np.log2(so_far / min_shards))
        begin = 0.0
        for seconds in clips:
            expected.append(number + int(begin // tar_s))
            begin += seconds
        number += int(np.ceil(begin / tar_s))
    lengths = [np.array(clips) for clips in deliveries]
    places = np.concatenate([np.cumsum(clips) - clips for clips in lengths])
    which = np.repeat(np.arange(len(lengths)), [len(clips) for clips in lengths])
    totals = [float(sum(clips)) for clips in deliveries]
    found = deal(which, places, totals, **(TARS | {"min_shards": min_shards}))
    if np.allclose(places % 1e-3, 0) or found.tolist() != expected:  # a sum in another order may fall on a boundary
        assert np.abs(found - np.array(expected)).max() <= 1
    assert (np.diff(found) >= 0).all()
