"""Folders that are called train, dev and test are the corpus's own splits, whatever its layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.layouts.detect import detect
from allears.corpus.layouts.split_folders import SplitFolders
from allears.corpus.listing import Source, read_listing
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures, published

NAMES = [f"{folder}/{i}.wav" for folder in ("train", "validation", "test") for i in range(2)]
SPLITS = ["train", "train", "dev", "dev", "test", "test"]


def splits(root: Path, layout: Layout | None = None, limit: int | None = None) -> list[str | None]:
    layout = layout or detect(root).layout
    table = read_listing([Source(name="s", root=root, layout=layout, why="", licence="x", label=None)], limit)
    assert table["reason"].isna().all()
    return [None if pd.isna(split) else split for split in table.sort_index()["split"]]


def sounds(root: Path, names: list[str]) -> list[str]:
    for i, name in enumerate(names):
        miniatures.tone(root / name, hz=300 + 20 * i)
    return names


def csv(root: Path, names: list[str], **more: list[str | None]) -> None:
    pd.DataFrame({"file_name": names, "text": "x"} | more).to_csv(root / "metadata.csv", index=False)


WRITERS: dict[str, Callable[[Path, list[str]], object]] = {
    "csv": csv,
    "jsonl": lambda root, names: published.write(
        root / "metadata.jsonl", *(json.dumps({"file_name": name, "text": "x"}) for name in names)
    ),
    "parquet": lambda root, names: pd.DataFrame({"file_name": names, "text": "x"}).to_parquet(
        root / "metadata.parquet"
    ),
    "nemo": lambda root, names: published.write(
        root / "manifest.json", *(json.dumps({"audio_filepath": str(root / name), "text": "x"}) for name in names)
    ),
    "kaldi": lambda root, names: published.write(root / "wav.scp", *(f"u{i} {n}" for i, n in enumerate(names))),
}


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("above", ["", "data/"])
def test_folders_that_a_table_names_are_splits(tmp_path: Path, written: str, above: str) -> None:
    WRITERS[written](tmp_path, sounds(tmp_path, [above + name for name in NAMES]))
    assert splits(tmp_path) == SPLITS
    first = splits(tmp_path, limit=2)
    assert len(first) == 2
    assert None not in first


@pytest.mark.parametrize("above", ["", "data/"])
def test_folders_that_no_table_describes_are_splits(tmp_path: Path, above: str) -> None:
    sounds(tmp_path, [above + name for name in NAMES])
    assert detect(tmp_path).layout == "plain"
    assert sorted(map(str, splits(tmp_path))) == sorted(SPLITS)


@pytest.mark.parametrize("folders", [("train", "dev", "test"), ("train-clean-100", "dev-clean", "test-clean")])
def test_folders_of_labels_below_folders_of_splits(tmp_path: Path, folders: tuple[str, ...]) -> None:
    sounds(tmp_path, [f"{folder}/{label}/a.wav" for folder in folders for label in ("dog", "rain")])
    assert detect(tmp_path).layout == "folder_per_label"
    source = Source(name="s", root=tmp_path, layout="folder_per_label", why="", licence="x", label=None)
    table = read_listing([source], None)
    assert table[["split", "label"]].to_numpy().tolist() == [
        ["dev", "dog"], ["dev", "rain"], ["test", "dog"], ["test", "rain"], ["train", "dog"], ["train", "rain"],
    ]  # fmt: skip


def test_a_column_of_splits_wins(tmp_path: Path) -> None:
    csv(tmp_path, sounds(tmp_path, NAMES), split=["test", "dev", "train", "train", "train", "train"])
    assert splits(tmp_path) == ["test", "dev", "train", "train", "train", "train"]
    csv(tmp_path, NAMES, split=[None, "dev", None, None, None, None])
    assert splits(tmp_path) == ["train", *SPLITS[2:3], *SPLITS[2:]]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/a.wav", "test/b.wav", "other/c.wav"], True), (["train/a.wav", "test/b.wav", "c.wav"], True),
        (["train/a.wav", "train/b.wav"], False), (["test/a.wav", "test/b.wav"], False),
        (["a/train.wav", "a/test.wav"], False), (["train-test/a.wav", "test/b.wav"], False),
    ],
)  # fmt: skip
def test_folders_are_no_splits_unless_all_are(
    tmp_path: Path, names: list[str], caplog: pytest.LogCaptureFixture, *, said: bool
) -> None:
    csv(tmp_path, sounds(tmp_path, names))
    assert splits(tmp_path) == [None] * len(names)
    assert ("its folders test, train are called like splits, but not all" in caplog.text) == said
    caplog.clear()
    csv(tmp_path, names, split=["train"] * len(names))
    splits(tmp_path)
    assert not caplog.text


def test_the_level_that_tells_splits_apart_counts() -> None:
    folders = SplitFolders()
    for path in ("test/train/a.wav", "test/dev/b.wav", "test/dev/deep/c.wav"):
        folders.see(path)
    assert folders.level == 1
    assert folders.split_of("test/dev/deep/c.wav") == "dev"
    folders.see("test/c.wav")
    assert folders.level is None
