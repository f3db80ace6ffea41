from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.corrections import read_corrections
from allears.corpus.listing import COLUMNS
from allears.corpus.purge import forget_lines
from allears.corpus.withdrawal import choose
from allears.corpus.withdrawn import REASON, Refused, Tombstone, add_tombstones, read_tombstones, row_digest
from allears.errors import CorpusError, StorageError
from allears.params.base import Paths

STONE = Tombstone(
    file_sha256="a" * 64, channel=None, start_s=10.0, end_s=20.0, pcm_sha256="p", row=None, why="asked", when="today"
)


@pytest.mark.parametrize(
    ("channel", "start_s", "end_s", "covered"),
    [
        (None, 10.0, 20.0, True),
        (None, 0.0, 10.0, False),  # pieces meet
        (None, 20.0, 30.0, False),
        (None, 0.0, 10.5, True),
        (1, 12.0, 13.0, True),  # one side of a mix
        (None, 0.0, 1e9, True),
    ],
)
def test_a_span_of_the_same_bytes_is_covered_where_it_overlaps(
    channel: int | None, start_s: float, end_s: float, covered: bool
) -> None:
    assert Refused([STONE]).clip("a" * 64, channel, start_s, end_s) == covered
    assert not Refused([STONE]).clip("b" * 64, channel, start_s, end_s)


def test_one_side_of_a_call_leaves_the_other() -> None:
    refused = Refused([replace(STONE, channel=0)])
    assert refused.clip("a" * 64, 0, 10.0, 20.0)
    assert not refused.clip("a" * 64, 1, 10.0, 20.0)
    assert refused.clip("a" * 64, None, 10.0, 20.0)


def test_a_file_that_was_never_read_refuses_no_other() -> None:
    assert not Refused([replace(STONE, file_sha256="")]).clip("", None, 10.0, 20.0)


def test_tombstones_are_added_once_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path)
    assert read_tombstones(paths) == []
    add_tombstones(paths, [STONE])
    add_tombstones(paths, [STONE, replace(STONE, start_s=0.0)])
    assert [one.start_s for one in read_tombstones(paths)] == [10.0, 0.0]
    file = paths.raw / "withdrawn.jsonl"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(StorageError, match="a line that is no tombstone"):
        read_tombstones(paths)


def test_a_withdrawn_line_is_not_taken_over_until_its_file_changes(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"audio")
    rows = [
        dict.fromkeys(COLUMNS) | {"source": "s", "root": str(tmp_path), "name": name, "path": name, "text": name}
        for name in ("a.wav", "b.wav")
    ]
    listing = pd.DataFrame(rows, columns=list(COLUMNS)).astype("string").astype({"channel": "Int64"})
    listing = listing.astype({"start_s": "float64", "end_s": "float64"})
    line = row_digest("s", "a.wav", str(tmp_path), "a.wav", None, None, None, None)
    refused = Refused([replace(STONE, row=line)])
    blank = refused.blank(listing)
    assert blank["reason"].to_list()[0] == REASON
    assert blank.loc[0, ["name", "path", "text"]].isna().all()
    pd.testing.assert_frame_equal(blank.iloc[1:], listing.iloc[1:])
    os.utime(tmp_path / "a.wav", ns=(1, 1))  # another recording, for all we know: its bytes will tell
    pd.testing.assert_frame_equal(refused.blank(listing), listing)


def test_a_name_that_is_in_two_sources_must_say_which(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "clip": ["c1", "c2", "c3"], "source": ["one", "two", "two"], "root": str(tmp_path),
            "path": ["x.wav", "x.wav", "call.wav"], "speaker": ["ann", "ann", None],
            "group": ["one/speaker/ann", "two/speaker/ann", "two/speaker/ann"],
        },
        dtype="string",
    )  # fmt: skip
    with pytest.raises(CorpusError, match=r"speaker 'ann' is in 2 sources \(one, two\).*--source"):
        choose(rows, "speaker", "ann", None, "mine")
    both_sides = choose(rows, "speaker", "ann", "two", "mine")["clip"].tolist()
    assert both_sides == ["c2", "c3"]  # a side of a call names no speaker, but is of a group
    assert choose(rows, "file", str(tmp_path / "x.wav"), "one", "mine")["clip"].tolist() == ["c1"]
    with pytest.raises(CorpusError, match=r"no speaker 'anm'; did you mean 'ann'\?$"):
        choose(rows, "speaker", "anm", None, "mine")
    with pytest.raises(CorpusError, match=r"It may be withdrawn already: then no name of it is left here\."):
        choose(rows, "speaker", "anm", None, "mine", before=True)


def test_corrections_are_read_with_their_lines_and_what_cannot_be_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    assert read_corrections(file) == []
    file.write_text('\ufeffclip,column,value,why\nc1,text,"said, so",\nc1,gender,,unknown\n', encoding="utf-8")
    found = read_corrections(file)
    assert [(one.clip, one.column, one.value) for one in found] == [("c1", "text", "said, so"), ("c1", "gender", None)]
    assert found[1].where.endswith("line 3")
    file.write_text("clip,value\nc1,x\n")
    with pytest.raises(CorpusError, match="line 1: column column is missing"):
        read_corrections(file)
    file.write_bytes("clip,column,value\nc1,text,ä\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="CSV in UTF-8"):
        read_corrections(file)


def test_lines_of_a_clip_go_from_what_people_wrote(tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_text('clip,decision,why\nc1,keep,"a, b"\nc2,drop,x\n')
    forget_lines(file, {"c2"})
    assert file.read_text() == 'clip,decision,why\nc1,keep,"a, b"\n'
    before = file.stat().st_mtime_ns
    forget_lines(file, {"c3"})
    assert file.stat().st_mtime_ns == before
    (tmp_path / "truth.csv").write_text("file_name,defect\nc2,x\n")
    forget_lines(tmp_path / "truth.csv", {"c2"})
    assert "c2" in (tmp_path / "truth.csv").read_text()
