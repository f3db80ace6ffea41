from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.overrides import COLUMNS, Decision, append, read
from allears.corpus.left import note_left
from allears.errors import CorpusError
from allears.params.base import Paths

CLIPS = ["c0", "c1", "c2"]


def test_without_a_file_nobody_decided(tmp_path: Path) -> None:
    table = read(tmp_path / "overrides.csv", CLIPS)
    assert table.empty
    assert list(table.columns) == list(COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "clip,decision,why\nc0,keep,sounds fine\n",
        "\ufeffclip,decision,why\r\nc0,keep,sounds fine\r\n",  # as spreadsheets write it
        'why,clip,decision,who,date\n"sounds fine",c0,keep,,\n',
        "Clip, Decision, Why\n\n c0 , keep , sounds fine \n,,\n",
    ],
)
def test_ways_to_write_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "overrides.csv"
    file.write_bytes(text.encode())
    table = read(file, CLIPS)
    assert table[["clip", "decision", "why"]].to_numpy().tolist() == [["c0", "keep", "sounds fine"]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("clip,decision,why\nc0,keep,fine\nc9,keep,fine\n", r"line 3: 'c9' is no clip of this corpus"),
        ("clip,decision,why\nc0,keap,fine\n", r"line 2: decision is 'keap'.*did you mean 'keep'"),
        ("clip,decision,why\nc0,keep,\n", r"line 2: why is empty"),
        ("clip,decision,why\nc0,keep,one, two\n", r"line 2: expected 3 cells \(clip, decision, why\), found 4"),
        ("clip,decision,why\nc0,keep\n", r"line 2: expected 3 cells .* found 2"),
        ('clip,decision,why\nc0,keep,"a\nb"\nc1,drop,"open\n', r"line 4: .*a quote is opened"),
        ("clip,decision,why\nc0,keep,=HYPERLINK(1)\n", r"line 2: why begins like a formula"),
        ("clip,decision,why\n=1+1,keep,fine\n", r"line 2: '=1\+1' is no clip"),
        ("clip;decision;why\nc0;keep;fine\n", r"line 1: expected the columns clip, decision, why .* commas"),
        ("clip,decision,reason\nc0,keep,fine\n", r"line 1: .*found clip, decision, reason"),
        ("clip,decision,why,why\nc0,keep,a,b\n", r"line 1: .*once each"),
        ("clip,decision,why\nc0,keep,fine\n".encode("utf-16"), r"line 1: the file is UTF-16"),
        ("clip,decision,why\nc0,keep,f\u00fcnf\n".encode("latin-1"), r"line 2: not UTF-8 \(byte 0xfc\)"),
        ("clip,decision,why\nc0,keep,\0\n", r"line 2: a NUL"),
    ],
)
def test_what_cannot_be_understood_names_its_line(tmp_path: Path, data: str | bytes, said: str) -> None:
    file = tmp_path / "overrides.csv"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(CorpusError, match=said):
        read(file, CLIPS)
    if "is no clip" not in said:  # the command does not add to what it cannot read
        with pytest.raises(CorpusError, match=said):
            append(file, Decision(clip="c0", decision="keep", why="fine"))
    assert file.read_bytes() == (data if isinstance(data, bytes) else data.encode())


def test_a_decision_on_a_clip_that_left_applies_to_nothing_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "overrides.csv"
    file.write_text("clip,decision,why\nc0,keep,fine\ngone,drop,bad\ngone,keep,good\n")
    left = note_left(Paths(corpus="mine", data=tmp_path), ["gone"])
    assert read(file, CLIPS, left)["clip"].tolist() == ["c0"]
    assert f"2 override(s) in {file} are of clips that have left the corpus" in caplog.text
    file.write_text("clip,decision,why\ngune,drop,bad\n")
    with pytest.raises(CorpusError, match="line 2: 'gune' is no clip of this corpus, and never was one"):
        read(file, CLIPS, left)


def test_the_last_word_holds(tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    for decision in ("keep", "drop"):
        append(file, Decision(clip="c0", decision=decision, why="heard it", who="ann", date="2026-01-02"))
        append(file, Decision(clip="c1", decision="keep", why="heard it, twice"))
    assert len(file.read_text().splitlines()) == 5
    table = read(file, CLIPS).set_index("clip")
    assert table["decision"].to_dict() == {"c0": "drop", "c1": "keep"}
    assert table.loc["c0", ["who", "date", "line"]].tolist() == ["ann", "2026-01-02", 4]


def test_what_stands_in_the_file_stays_byte_by_byte(tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    before = b"\xef\xbb\xbfwhy,clip,decision\r\nfine,c0,keep"  # no end of line
    file.write_bytes(before)
    append(file, Decision(clip="c1", decision="drop", why="hum"))
    assert file.read_bytes() == before + b"\nhum,c1,drop\n"
    assert read(file, CLIPS)["clip"].tolist() == ["c0", "c1"]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, why: str) -> None:
    file = tmp_path_factory.mktemp("words") / "overrides.csv"
    said = Decision(clip="c0", decision="keep", why=" ".join(why.split()))
    try:
        append(file, said)
    except (CorpusError, UnicodeEncodeError):
        assert not file.exists()
        return
    assert read(file, CLIPS)["why"].tolist() == [said.why]
