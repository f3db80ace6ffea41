"""Tables and archives that mean harm, or were written carelessly: rows in = rows + rejects, and nothing leads out."""

import contextlib
import gzip
import io
import json
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.layouts import tables
from allears.corpus.layouts.detect import detect
from allears.corpus.layouts.files import inside, is_audio, walk
from allears.corpus.layouts.read import READERS, read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.corpus.listing import Source, read_listing
from allears.errors import AudioError, CorpusError
from allears.params.corpus import Layout
from allears.storage.containers import read_members
from tests.unit.corpus import miniatures, published
from tests.unit.corpus.test_published import MINIATURES


def read(root: Path, layout: Layout = "audiofolder") -> tuple[list[Row], list[Reject]]:
    items = list(read_rows(root, layout, None))
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Reject)]


def csv_of(root: Path, body: bytes) -> tuple[list[Row], list[Reject]]:
    (root / "metadata.csv").write_bytes(body)
    return read(root)


def test_formulas_and_html_stay_text(tmp_path: Path) -> None:
    rows, rejects = csv_of(
        tmp_path, b'file_name,text\na.wav,=HYPERLINK("x")\nb.wav,<script>alert(1)</script>\nc.wav,@SUM(A1)\n'
    )
    assert not rejects
    assert [row.text for row in rows] == ['=HYPERLINK("x")', "<script>alert(1)</script>", "@SUM(A1)"]


def test_nul_bytes_cost_their_lines(tmp_path: Path) -> None:
    rows, rejects = csv_of(tmp_path, b"file_name,text\na.wav,fine\nb.wav,n\0ul\nc.wav,fine\n")
    assert [row.path for row in rows] == ["a.wav", "c.wav"]
    assert "NUL" in rejects[0].message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_marks_of_other_encodings_are_known(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    rows, rejects = csv_of(tmp_path, mark + "file_name,text\r\na.wav,Grüße 你好\r\n".encode(encoding))
    assert not rejects
    assert [(row.path, row.text) for row in rows] == [("a.wav", "Grüße 你好")]


def test_utf_16_without_a_mark_is_no_silent_mess(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no column file_name"):
        csv_of(tmp_path, "file_name,text\na.wav,x\n".encode("utf-16-le"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_kaldi_knows_marks_and_rejects_what_is_no_text(tmp_path: Path, encoding: str) -> None:
    root = miniatures.kaldi(tmp_path)
    for name in ("wav.scp", "text"):
        (root / name).write_bytes((root / name).read_text().encode(encoding))
    (root / "utt2lang").write_bytes(b"u1 en\nu2 e\0n\n")
    rows, rejects = read(root, "kaldi")
    assert [(row.name, row.text, row.language) for row in rows] == [
        ("u1", "GOOD DAY", "en"), ("u2", "HOW ARE YOU", None), ("u3", "FINE", None), ("u4", None, None),
    ]  # fmt: skip
    assert [(reject.name, reject.reason) for reject in rejects] == [("line 2", "malformed_line")]
    assert "utt2lang, 'line 2': it holds NUL" in rejects[0].message


@pytest.mark.parametrize("layout", ["nemo", "lhotse"])
def test_a_broken_first_line_costs_itself_and_not_its_table(tmp_path: Path, layout: Layout) -> None:
    file = next(file for file in MINIATURES[layout](tmp_path).iterdir() if ".json" in file.name)
    lines = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    whole = len(read(tmp_path, layout)[0])
    file.write_bytes(b"{broken\n" + lines if file.suffix != ".gz" else gzip.compress(b"{broken\n" + lines))
    rows, rejects = read(tmp_path, layout)
    assert (len(rows), [reject.reason for reject in rejects]) == (whole, ["malformed_line"])


def test_an_unclosed_quote_costs_its_own_line(tmp_path: Path) -> None:
    body = 'file_name,text\na.wav,one\nb.wav,"two\nc.wav,three\nd.wav,5" wide\ne.wav,"two\nlines"\nf.wav,four\n'
    rows, rejects = csv_of(tmp_path, body.encode())
    assert {row.path: row.text for row in rows} == {
        "a.wav": "one", "c.wav": "three", "d.wav": '5" wide', "e.wav": "two\nlines", "f.wav": "four",
    }  # fmt: skip
    assert [reject.reason for reject in rejects] == ["malformed_line"]


@given(st.lists(st.tuples(st.text("ab\"', \t", max_size=6), st.text("ab\"'; \t", max_size=6)), max_size=8))
def test_csv_as_pandas_writes_it_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    pd.DataFrame(cells, columns=["file_name", "text"]).to_csv(file, index=False)
    found = [record for _, record in tables.records(tables.read_csv(file)) if not isinstance(record, tables.Broken)]
    assert [(record["file_name"], record["text"]) for record in found] == cells


def test_a_line_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LINE_CHARACTERS", 1000)
    lines = [json.dumps({"file_name": "a.wav", "text": "x" * 100_000}), json.dumps({"file_name": "b.wav", "text": "y"})]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    rows, rejects = read(tmp_path)
    assert [row.path for row in rows] == ["b.wav"]
    assert "longer than 1,000 characters" in rejects[0].message


def test_json_of_great_depth(tmp_path: Path) -> None:
    deep = '{"file_name": "a.wav", "x": ' + "[" * 200_000 + "]" * 200_000 + "}"
    (tmp_path / "metadata.jsonl").write_text(f'{deep}\n{{"file_name": "b.wav"}}\n')
    rows, rejects = read(tmp_path)
    assert [row.path for row in rows] == ["b.wav"]
    assert [reject.reason for reject in rejects] == ["malformed_line"]
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "GigaSpeech.json").write_text('{"audios": [' + "[" * 200_000)
    rows, rejects = read(tmp_path, "gigaspeech")
    assert (rows, [reject.reason for reject in rejects]) == ([], ["malformed_line"])


def test_a_parquet_of_very_many_columns_is_refused_with_a_sentence(tmp_path: Path) -> None:
    names = ["file_name", *(f"c{i}" for i in range(20_000))]
    table = pa.table([pa.array(["a.wav"])] + [pa.array([1])] * 20_000, names=names)
    pq.write_table(table, tmp_path / "metadata.parquet")
    with pytest.raises(CorpusError, match=r"has 20,001 columns, at most 4,096 are read"):
        read(tmp_path)


def test_a_parquet_whose_description_claims_too_much_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "metadata.parquet").write_bytes(b"PAR1" + struct.pack("<I", 1 << 31) + b"PAR1")
    with pytest.raises(CorpusError, match="too many columns"):
        read(tmp_path)


def test_a_broken_shard_costs_itself_alone(tmp_path: Path) -> None:
    root = published.huggingface(tmp_path)
    (root / "data" / "train-00001-of-00002.parquet").write_bytes(b"PAR1 and nothing else")
    wide = pa.table([pa.array([1])] * 5000, names=[f"c{i}" for i in range(5000)])
    pq.write_table(wide, root / "data" / "train-00002-of-00002.parquet")
    rows, rejects = read(root, "huggingface")
    assert len(rows) == 5
    assert [reject.reason for reject in rejects] == ["no_audio_entry", "malformed_table", "malformed_table"]


def test_an_audio_column_of_another_name_is_read_and_a_cache_of_links_within_it(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    rows = [{"sound:x": {"bytes": published.sound(300 + i), "path": None}} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), blob, row_group_size=25)
    link = tmp_path / "snapshots" / "abc" / "data" / "train-00000-of-00001.parquet"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../../blobs/0123")
    found, rejects = read(tmp_path, "huggingface")
    assert not rejects
    assert [row.member for row in found] == [f"sound:x:{i // 25}:{i % 25}" for i in range(40)]
    inside = dict(read_members(link, ["sound:x:1:14", "sound:x:0:3", "sound:x:7:0", "sound:x:1:15"]))
    assert [inside[f"sound:x:{at}"] for at in ("0:3", "1:14")] == [published.sound(303), published.sound(339)]
    assert all(isinstance(inside[f"sound:x:{at}"], AudioError) for at in ("7:0", "1:15"))


def test_bytes_that_some_rows_lack_are_found_without_statistics(tmp_path: Path) -> None:
    audio = [{"bytes": b"x" if i % 3 else None, "path": None} for i in range(100)]
    pq.write_table(pa.table({"sound": audio, "text": ["t"] * 100}), tmp_path / "x.parquet", write_statistics=False)
    rows, rejects = read(tmp_path, "huggingface")
    assert [row.member for row in rows] == [f"sound:0:{i}" for i in range(100) if i % 3]
    assert len(rejects) == 34


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up.wav",
        "a/../../up.wav",
        "a\nb.wav",
        "a\x07.wav",
        "C:/x.wav",
        "a\\b.wav",
        "http://h/x.wav",
        "",
    ],
)
def test_paths_that_must_not_be_followed(tmp_path: Path, path: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": path}) + "\n")
    rows, rejects = read(tmp_path)
    assert (rows, len(rejects)) == ([], 1)


def test_odd_names_are_names(tmp_path: Path) -> None:
    names = ["-rf.wav", "A.wav", "a.wav", "ä.wav", "a b;c.wav", "$(x).wav"]
    for name in names:
        miniatures.tone(tmp_path / name)
    rows, rejects = read(tmp_path, "plain")
    assert (sorted(row.path for row in rows), rejects) == (sorted(names), [])
    listing = read_listing([Source(name="s", root=tmp_path, layout="plain", why="", licence="x", label=None)], None)
    assert len(listing) == len(names)


def test_a_name_of_300_bytes_is_a_missing_file(tmp_path: Path) -> None:
    from allears.corpus.listing import recordings_of
    from allears.corpus.probe import probe_files

    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "x" * 296 + ".wav"}) + "\n")
    listing = read_listing(
        [Source(name="s", root=tmp_path, layout="audiofolder", why="", licence="x", label=None)], None
    )
    facts = probe_files(recordings_of(listing), tmp_path / "j.jsonl", workers=1)
    assert [fact.reason for fact in facts.values()] == ["unreadable"]


def linked(root: Path) -> Path:
    """A folder with links: to a file and a folder outside, and to a file and a folder inside."""
    miniatures.tone(root.parent / "outside" / "secret.wav")
    miniatures.tone(root / "real" / "a.wav")
    (root / "out.wav").symlink_to(root.parent / "outside" / "secret.wav")
    (root / "outer").symlink_to(root.parent / "outside")
    (root / "in.wav").symlink_to(root / "real" / "a.wav")
    (root / "inner").symlink_to(root / "real")
    return root


def test_links_out_of_the_folder_are_refused_where_it_is_walked(tmp_path: Path) -> None:
    rows, rejects = read(linked(tmp_path / "corpus"), "plain")
    assert [row.path for row in rows] == ["in.wav", "real/a.wav"]
    assert {(reject.path, reject.reason) for reject in rejects} == {
        ("out.wav", "outside_root"), ("outer/", "outside_root"),
    }  # fmt: skip


def test_links_out_of_the_folder_are_refused_where_a_table_names_them(tmp_path: Path) -> None:
    root = linked(tmp_path / "corpus")
    names = ["in.wav", "inner/a.wav", "out.wav", "outer/secret.wav", "real/a.wav"]
    (root / "metadata.jsonl").write_text("".join(json.dumps({"file_name": name}) + "\n" for name in names))
    rows, rejects = read(root)
    assert [row.path for row in rows] == ["in.wav", "inner/a.wav", "real/a.wav"]
    assert [(reject.path, reject.reason) for reject in rejects] == [
        ("out.wav", "outside_root"), ("outer/secret.wav", "outside_root"),
    ]  # fmt: skip


def test_a_source_that_is_a_link_itself_is_read(tmp_path: Path) -> None:
    miniatures.plain(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(read(tmp_path / "link", "plain")[0]) == 2


def test_links_in_circles_end(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / "a.wav")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    assert [path for path in walk(tmp_path) if path.endswith("wav")] == ["a.wav"]
    assert inside(tmp_path)("a.wav")


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **header: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in header.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_tar_with_links_ways_out_duplicates_and_odd_names(tmp_path: Path, ending: str) -> None:
    flac = published.sound()
    with tarfile.open(tmp_path / f"x.{ending}", "w:gz" if ending == "tar.gz" else "w") as tar:
        add(tar, "good.flac", flac)
        add(tar, "good.txt", b"good day")
        add(tar, "link.flac", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.flac", type=tarfile.LNKTYPE, linkname="good.flac")
        add(tar, "fifo.flac", type=tarfile.FIFOTYPE)
        add(tar, "../up.flac", flac)
        add(tar, "/abs.flac", flac)
        add(tar, "good.flac", flac)
        add(tar, "new\nline.flac", flac)
        add(tar, "x" * 300 + ".flac", flac)
        add(tar, "-dash.flac", flac)
        add(tar, "alone.txt", b"no recording")
        add(tar, "big.flac", flac)
        add(tar, "big.json", b" " * (2 << 20))
        add(tar, "deep.flac", flac)
        add(tar, "deep.json", b"[" * 100_000)
        add(tar, "notes.md", b"ignored")
    rows, rejects = read(tmp_path, "webdataset")
    assert [(row.name[-5:], row.text) for row in rows] == [
        ("good", "good day"), ("x" * 5, None), ("-dash", None), ("big", None),
    ]  # fmt: skip
    assert sorted(reject.reason for reject in rejects) == sorted([
        "link", "link", "link", "outside_root", "outside_root", "duplicate_id", "bad_name", "no_audio_entry",
        "too_large", "malformed_line",
    ])  # fmt: skip


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("claimed", [1 << 40, 100])
def test_a_size_that_lies_is_noticed(tmp_path: Path, ending: str, claimed: int) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("a", "b", "c"):
            add(tar, f"{name}.wav", np.random.default_rng(0).bytes(3000))
    data = bytearray(stream.getvalue())
    header = tarfile.TarInfo("b.wav")
    header.size = claimed
    at = 512 + 3072
    data[at : at + 512] = header.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / f"x.{ending}").write_bytes(bytes(data) if ending == "tar" else gzip.compress(bytes(data)))
    rows, rejects = read(tmp_path, "webdataset")
    assert "a.wav" in [row.member for row in rows]
    assert "c.wav" not in [row.member for row in rows]
    assert [reject.reason for reject in rejects] == ["truncated_member"]


def test_a_first_tar_that_is_none_costs_itself_alone(tmp_path: Path) -> None:
    (published.webdataset(tmp_path) / "a.tar").write_bytes(b"no tar at all" * 100)
    rows, rejects = read(tmp_path, "webdataset")
    assert (len(rows), [reject.path for reject in rejects]) == (4, ["a.tar"])
    assert rows[0].speaker == "s0"


def test_a_tar_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    file = published.packed(tmp_path / "x.tar", {f"{i}.flac": published.sound() for i in range(5)})
    os.truncate(file, file.stat().st_size // 2)
    rows, rejects = read(tmp_path, "webdataset")
    assert 1 <= len(rows) < 5
    assert [reject.reason for reject in rejects] == ["truncated_member"]


def test_the_same_number_in_as_out_whatever_the_table(tmp_path: Path) -> None:
    lines = [json.dumps({"file_name": f"{i}.wav"}) for i in range(5)] + [
        "",
        "null",
        "7",
        '"a"',
        "{",
        "[]",
        '{"file_name": "0.wav"}',
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    rows, rejects = read(tmp_path)
    assert (len(rows), len(rejects)) == (5, 6)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, put in or taken out, or the end cut off."""
    for _ in range(rng.integers(1, 10)):
        at = int(rng.integers(0, len(data) + 1))
        put_in = [b'"', b"\t", b"\n", b"|", b"{", b"]", b"null", b"\0", b"\xff", b"-1e999", b"NaN", rng.bytes(1), b""]
        gone = int(rng.choice([0, 1, 20, len(data) if rng.random() < 0.1 else 0]))
        data = data[:at] + put_in[rng.integers(len(put_in))] + data[at + gone :]
    return data


@pytest.mark.parametrize("layout", READERS)
def test_mutated_descriptions_cost_lines_or_end_in_a_sentence(tmp_path: Path, layout: Layout) -> None:
    root, rng = MINIATURES[layout](tmp_path), np.random.default_rng(0)
    files = sorted(file for file in root.rglob("*") if file.is_file() and not is_audio(file.name))
    for _ in range(25):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        packed = file.suffix == ".gz"
        content = mutated(gzip.decompress(whole) if packed else whole, rng)
        file.write_bytes(gzip.compress(content) if packed else content)
        with contextlib.suppress(CorpusError):
            read(root, layout)
        with contextlib.suppress(CorpusError):
            detect(root)
        file.write_bytes(whole)
    assert read(root, layout)[0]
