"""One odd value in a table costs its own row, with a reason, or the run ends in a sentence that names the file."""

import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allears.corpus.layouts.columns import Asked, match_columns
from allears.corpus.layouts.read import explain_columns
from allears.corpus.listing import Source, read_listing, resolve, unlisted
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings, Layout, SourceSettings
from tests.unit.corpus import miniatures, published

HALF = "\ud83d"
ODD = [
    None, 5, True, float("inf"), 10**400, "", [], ["x", 5], {"a": 1}, HALF, {HALF: HALF}, "x" * 300 + ".wav",
    "a\0b.wav",
]  # fmt: skip


def listing(root: Path, layout: Layout = "audiofolder") -> pd.DataFrame:
    return read_listing([Source(name="s", root=root, layout=layout, why="", licence="CC0-1.0", label=None)], None)


def texts(root: Path, table: pa.Table, **how: Any) -> pd.DataFrame:
    """The listing of a metadata.parquet."""
    pq.write_table(table, root / "metadata.parquet", **how)
    return listing(root)


def latin(values: list[str]) -> pa.Array:
    """Strings as a careless program writes them: not in UTF-8."""
    return pa.array([value.encode("latin-1") for value in values], pa.binary()).view(pa.string())


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value other values are."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (key,)
        yield from ((key, *below) for below in places(inner))


def replaced(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    value = copy.deepcopy(value)
    within = value
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = odd
    return value


SOURCE = {"type": "file", "channels": [0], "source": "a.wav"}
ONE: dict[Layout, dict[str, Any]] = {
    "audiofolder": {"file_name": "a.wav", "text": "a", "speaker": "s", "age": 7, "license": "CC0", "more": {"x": [1]}},
    "nemo": {"audio_filepath": "a.wav", "duration": 1.0, "offset": 0.5, "text": "a", "lang": "en", "more": {"x": [1]}},
    "lhotse": {
        "id": "a", "type": "MonoCut", "start": 0.0, "duration": 1.0, "channel": 0, "custom": {"mood": "glad"},
        "recording": {"id": "r", "duration": 2.0, "sources": [SOURCE]},
        "supervisions": [{"start": 0.0, "duration": 1.0, "text": "a", "speaker": "s", "custom": {"x": 1}}],
    },
    "gigaspeech": {
        "path": "a.opus", "aid": "a", "language": "EN", "subsets": ["{XL}"], "category": "News",
        "segments": [{"sid": "a1", "begin_time": 0.0, "end_time": 1.0, "text_tn": "A <COMMA>", "subsets": ["{XL}"]}],
    },
    "webdataset": {"text": "a", "speaker": "s", "lang": "en", "license": "CC0", "more": {"x": [1]}},
}  # fmt: skip
FILES = {"audiofolder": "metadata.jsonl", "nemo": "manifest.json", "lhotse": "cuts.jsonl"}


def write(root: Path, layout: Layout, record: dict[str, Any]) -> None:
    """A sound record, and this one."""
    good = json.loads(re.sub('"a(?=[.1"])', '"b', json.dumps(ONE[layout])))
    if layout == "gigaspeech":
        (root / "GigaSpeech.json").write_text(json.dumps({"audios": [good, record]}))
    elif layout == "webdataset":
        texts = {"b.json": json.dumps(good).encode(), "a.json": json.dumps(record).encode()}
        published.packed(root / "x.tar", texts | {"b.flac": b"x", "a.flac": b"x"})
    else:
        (root / FILES[layout]).write_text(f"{json.dumps(good)}\n{json.dumps(record)}\n")


@pytest.mark.parametrize("layout", ONE)
def test_a_json_value_of_another_type_costs_its_row_alone(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path, layout, ONE[layout])
    assert listing(tmp_path, layout)["reason"].isna().tolist() == [True, True]
    for place in places(ONE[layout]):
        for odd in ODD:
            write(tmp_path, layout, replaced(ONE[layout], place, odd))
            table = listing(tmp_path, layout)
            assert len(table) >= 2, (place, odd)
            assert table["reason"].isna().any(), (place, odd)
            assert (table["message"].dropna().str.len() > 10).all()


@pytest.mark.parametrize(
    ("layout", "place", "why"),
    [
        ("lhotse", ("supervisions",), "cuts.jsonl line 2, 'a': its supervisions are no list"),
        ("gigaspeech", ("subsets",), "GigaSpeech.json audio 2: its subsets are no list"),
        ("gigaspeech", ("segments", 0, "subsets"), "a segment 0: its subsets are no list"),
    ],
)
def test_what_could_be_a_test_clip_is_not_guessed(
    tmp_path: Path, layout: Layout, place: tuple[Any, ...], why: str
) -> None:
    write(tmp_path, layout, replaced(ONE[layout], place, 7))
    assert listing(tmp_path, layout)["message"].dropna().tolist() == [why]


def test_half_of_a_character_costs_its_line(tmp_path: Path) -> None:
    lines = [{"file_name": f"{i}.wav", "text": "smile 😀"} for i in range(3)]
    lines[1]["text"] = HALF
    lines[2][HALF] = "x"
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    table = listing(tmp_path)
    assert table["text"].dropna().tolist() == ["smile 😀"]
    assert table["reason"].dropna().tolist() == ["malformed_line"] * 2
    assert "metadata.jsonl row 2: half of a character" in table["message"].iloc[1]


def test_a_folder_whose_name_is_not_utf_8_is_said(tmp_path: Path) -> None:
    folder = os.fsdecode(bytes(tmp_path) + b"/caf\xe9")
    published.nemo(tmp_path / "cafe").rename(folder)
    settings = CorpusSettings(corpus="mine", sources=(SourceSettings(name="s", path=str(tmp_path), licence="CC0-1.0"),))
    sources = resolve(settings, Paths(corpus="mine", data=tmp_path / "data"))
    json.dumps([source.to_json() for source in sources], ensure_ascii=False).encode()
    assert sources[0].layout == "nemo"
    assert listing(tmp_path, "nemo")["reason"].dropna().tolist() == ["outside_root"] * 2  # the third path is absolute


def test_a_string_of_parquet_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    names, said = ["a.wav", "b.wav", "c.wav"], latin(["fine", "café", "good"])
    table = texts(tmp_path, pa.table({"file_name": names, "text": said}))
    assert table["text"].dropna().tolist() == ["fine", "good"]
    assert "metadata.parquet row 2: its text cannot be read" in table["message"].iloc[1]
    (tmp_path / "metadata.parquet").unlink()
    audio = [{"bytes": b"x", "path": name} for name in names]
    pq.write_table(pa.table({"audio": audio, "text": said}), tmp_path / "train.parquet")
    table = listing(tmp_path, "huggingface")
    assert table["text"].dropna().tolist() == ["fine", "good"]
    assert table["member"].dropna().tolist() == ["0:0", "0:2"]
    assert "train.parquet row 0:1: its text cannot be read" in table["message"].iloc[1]


def test_a_date_beyond_all_calendars_costs_its_row(tmp_path: Path) -> None:
    made = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("ms"))
    table = texts(tmp_path, pa.table({"file_name": ["a.wav", "b.wav"], "text": ["a", "b"], "made": made}))
    assert table["reason"].isna().tolist() == [True, False]


def test_a_column_name_that_is_not_utf_8_ends_in_a_sentence(tmp_path: Path) -> None:
    texts(tmp_path, pa.table({"file_name": ["a.wav"], "text_caf_": ["x"]}), store_schema=False)
    file = tmp_path / "metadata.parquet"
    file.write_bytes(file.read_bytes().replace(b"text_caf_", b"text_caf\xe9"))
    with pytest.raises(CorpusError, match=r"metadata\.parquet: .* (UTF-8|parquet file)"):
        listing(tmp_path)


def spoilt(file: Path) -> None:
    """Bytes of the pages changed, the description as it was."""
    data = bytearray(file.read_bytes())
    at = pq.ParquetFile(file).metadata.row_group(0).column(1).data_page_offset
    data[at : at + 40] = b"\xff" * 40
    file.write_bytes(bytes(data))


def test_a_spoilt_page_of_a_table_ends_in_a_sentence(tmp_path: Path) -> None:
    names = [f"{i}.wav" for i in range(50)]
    texts(tmp_path, pa.table({"file_name": names, "text": names}), use_dictionary=False)
    spoilt(tmp_path / "metadata.parquet")
    with pytest.raises(CorpusError, match=r"metadata\.parquet is damaged \(.*copy it again"):
        listing(tmp_path)


def test_a_spoilt_page_of_a_shard_costs_the_shard(tmp_path: Path) -> None:
    for name in ("a", "b"):
        audio = [{"bytes": b"x", "path": None}] * 50
        pq.write_table(pa.table({"text": [f"t{i}" for i in range(50)], "audio": audio}), tmp_path / f"{name}.parquet")
        whole = pq.ParquetFile(tmp_path / f"{name}.parquet").metadata
    assert whole.num_row_groups == 1
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:60] = b"\xff" * 56
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    table = listing(tmp_path, "huggingface")
    assert table["reason"].dropna().tolist() == ["malformed_table"]
    assert set(table.loc[table["reason"].isna(), "path"]) == {"b.parquet"}


def test_bytes_that_are_text_are_no_recordings(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": [{"bytes": "text", "path": "a.wav"}]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="describe no recording"):
        listing(tmp_path, "huggingface")


def test_a_name_of_mls_that_is_no_name_costs_its_line(tmp_path: Path) -> None:
    published.mls(tmp_path)
    table = next(tmp_path.rglob("train/transcripts.txt"))
    table.write_text(f"252_2415_a/b\tx\n252_2415_{'9' * 300}\tx\n{table.read_text()}")
    assert len(listing(tmp_path, "mls")) == 8


@pytest.mark.parametrize("name", ["utt_id", "clip-id", "fileId", "uttid", "uuid", "Sentence ID"])
def test_an_id_is_no_label(name: str) -> None:
    columns = match_columns(["file_name", name], Asked(), "a table")
    assert columns.label == ()
    assert f"ingest.label={name}" in columns.why
    assert match_columns(["file_name", name], Asked(name), "a table").label == (name,)


@pytest.mark.parametrize("name", ["digit", "grid", "valid", "word"])
def test_the_only_other_column_is_the_label(name: str) -> None:
    assert match_columns(["file_name", name], Asked(), "a table").label == (name,)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_is_another_in_nearly_every_line_is_no_label(tmp_path: Path, ending: str) -> None:
    table = pd.DataFrame({"file_name": [f"{i}.wav" for i in range(60)], "remark": [f"r{i}" for i in range(60)]})
    words = table.assign(remark=np.arange(60) % 40)
    write = {
        "csv": lambda each, file: each.to_csv(file, index=False),
        "jsonl": lambda each, file: each.to_json(file, orient="records", lines=True),
        "parquet": lambda each, file: each.to_parquet(file),
    }[ending]
    write(table, tmp_path / f"metadata.{ending}")
    assert explain_columns(tmp_path, "audiofolder", None).startswith("no column is a label: 'remark' is another in")
    assert explain_columns(tmp_path, "audiofolder", "remark") == "the label is column 'remark'"
    assert listing(tmp_path)["label"].isna().all()
    write(words, tmp_path / f"metadata.{ending}")
    assert listing(tmp_path)["label"].nunique() == 40


def test_recordings_that_no_line_describes_are_counted_elsewhere_too(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("root/a.wav", "pool/b.wav", "pool/c.wav", "pool/d.flac", "pool/deep/e.wav", "other/f.wav"):
        miniatures.tone(tmp_path / name)
    (tmp_path / "pool" / "notes.txt").write_text("no recording")
    names = [str(tmp_path / "pool" / "b.wav"), str(tmp_path / "gone" / "x.wav")]
    published.write(root / "train.json", *(json.dumps({"audio_filepath": name}) for name in names))
    source = Source(name="s", root=root, layout="nemo", why="", licence="CC0-1.0", label=None)
    assert list(unlisted([source], read_listing([source], None))) == [(source, 1, 2)]
    published.write(root / "train.json", json.dumps({"audio_filepath": "a.wav"}))
    assert list(unlisted([source], read_listing([source], None))) == [(source, 0, 0)]
