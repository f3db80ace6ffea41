from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allears.downstream.labels import leave_out, limited, read_labelled, why_not, with_classes
from allears.errors import ConfigError
from allears.params.labelled import ClipLimits

COLUMNS = ("text", "label", "language", "accent", "gender", "age")


def _table(folder: Path, rows: list[dict[str, object]]) -> Path:
    base = dict.fromkeys(COLUMNS) | {"attributes": None, "keep": True, "samples": 16000, "split": "train", "group": "s"}
    whole = [base | {"clip": f"c{i}"} | row for i, row in enumerate(rows)]
    strings = [(name, pa.string()) for name in ("clip", "split", "group", "attributes", *COLUMNS)]
    schema = pa.schema([*strings, ("keep", pa.bool_()), ("samples", pa.int64())])
    pq.write_table(pa.Table.from_pylist(whole, schema=schema), folder / "clips.parquet")
    return folder / "clips.parquet"


def test_only_kept_clips_with_a_known_target_count(tmp_path):
    rows = [
        {"label": "a"},
        {"label": None},
        {"label": "b", "keep": False},
        {"label": " b "},
        {"label": "a", "samples": 9},
    ]
    found = read_labelled(_table(tmp_path, rows), "label")
    assert (found.clips, found.references) == (("c0", "c3"), ("a", "b"))


def test_texts_are_normalised_and_empty_ones_are_unknown(tmp_path):
    found = read_labelled(_table(tmp_path, [{"text": "IT IS, well"}, {"text": "..."}]), "text")
    assert found.references == ("it is well",)


def test_a_key_of_attributes_is_a_target(tmp_path):
    found = read_labelled(_table(tmp_path, [{"attributes": '{"device": "phone"}'}, {"attributes": "{}"}]), "device")
    assert found.references == ("phone",)


def test_an_unknown_target_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean 'device'\?.*Known: .*gender"):
        read_labelled(_table(tmp_path, [{"attributes": '{"device": "phone"}'}]), "devise")


def test_rare_classes_are_left_out(tmp_path):
    rows = [{"label": "a"}] * 3 + [{"label": "b"}, {"label": "b", "split": "test"}, {"label": "a", "split": "test"}]
    found, classes = with_classes(read_labelled(_table(tmp_path, rows), "label"), 2)
    assert classes == ("a",)
    assert set(found.references) == {"a"}
    assert why_not(found, classes, 2) == "'label' has 1 class with at least 2 training clips, and 2 are needed"


def test_limits_keep_classes_in_proportion_and_speakers_many(tmp_path):
    rows = [{"label": "ab"[i % 2], "group": f"s{i // 4}"} for i in range(40)] + [{"label": "a", "split": "test"}] * 5
    found = limited(read_labelled(_table(tmp_path, rows), "label"), ClipLimits(train=10, dev=2, test=3), 16000, 0)
    assert found.counts("train") == {"a": 5, "b": 5}
    assert len({found.groups[i] for i in found.of("train")}) >= 5
    assert found.counts("test") == {"a": 3}


@pytest.mark.parametrize("classes", [120, 250])
def test_a_cap_holds_with_many_small_classes(tmp_path, classes):
    rows = [{"label": f"class-{i:03d}", "split": "dev", "group": f"s{i}"} for i in range(classes)]
    found = limited(read_labelled(_table(tmp_path, rows), "label"), ClipLimits(dev=100), 16000, 0)
    assert len(found.of("dev")) == 100


def test_a_split_under_its_cap_is_left_alone(tmp_path):
    whole = read_labelled(_table(tmp_path, [{"label": "ab"[i % 2]} for i in range(10)]), "label")
    assert limited(whole, ClipLimits(train=10), 16000, 0) == whole


def test_long_clips_are_left_out_for_text_only(tmp_path):
    rows = [{"text": "a", "label": "a", "samples": 16000 * s} for s in (2, 20)]
    path = _table(tmp_path, rows)
    assert len(limited(read_labelled(path, "text"), ClipLimits(seconds=5), 16000, 0)) == 1
    assert len(limited(read_labelled(path, "label"), ClipLimits(seconds=5), 16000, 0)) == 2


def test_each_group_is_left_out_with_the_next_as_dev(tmp_path):
    found = read_labelled(_table(tmp_path, [{"label": "a", "group": g} for g in "zxy"]), "label")
    for group, dev in (("x", "y"), ("y", "z"), ("z", "x")):
        fold = leave_out(found, group)
        assert dict(zip(fold.groups, fold.splits, strict=True)) == dict.fromkeys("xyz", "train") | {
            group: "test",
            dev: "dev",
        }


def test_a_split_without_labels_is_a_reason(tmp_path):
    found = read_labelled(_table(tmp_path, [{"label": "ab"[i % 2]} for i in range(8)]), "label")
    assert why_not(found, ("a", "b"), 2) == "no clip of the dev speakers has a label"


def test_numbers_fall_into_no_classes(tmp_path):
    rows = [
        {"age": str(20 + i), "group": f"s{i}", "split": ("train", "train", "dev", "test")[i % 4]} for i in range(40)
    ]
    found = read_labelled(_table(tmp_path, rows), "age", alike=True)
    assert found.counts("train") == {"age": 20}
    few = limited(found, ClipLimits(train=10, dev=2, test=3), 16000, 0)
    assert [len(few.of(split)) for split in ("train", "dev", "test")] == [10, 2, 3]
    assert why_not(few, (), 10) is None
    assert why_not(few, (), 11) == "10 training clips have a known age, and 11 are needed"
    assert leave_out(few, few.groups[0]).alike
    assert not read_labelled(tmp_path / "clips.parquet", "age").alike
