"""A value that is missing is null, whatever program wrote it into whatever table; a list of one is its element."""

import csv
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allears.corpus.layouts.columns import Asked, Columns, match_columns, row_from
from allears.corpus.layouts.read import read_rows
from allears.corpus.layouts.row import Row
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures, published

NAN = math.nan
LABELS = ["yes", NAN, "no"]
ABOUT: list[dict[str, Any]] = [
    {"text": NAN if i == 1 else f"text {i}", "label": LABELS[i], "speaker": NAN if i == 1 else "s", "mood": NAN}
    for i in range(3)
]
EXPECTED = [("text 0", "yes", "s"), (None, None, None), ("text 2", "no", "s")]


def lines(file: Path, records: list[dict[str, Any]]) -> None:
    published.write(file, *map(json.dumps, records))


def as_jsonl(root: Path) -> Layout:
    lines(root / "metadata.jsonl", [{"file_name": f"{i}.wav"} | about for i, about in enumerate(ABOUT)])
    return "audiofolder"


def as_csv(root: Path) -> Layout:
    with (root / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file_name", *ABOUT[0]])
        table.writeheader()
        table.writerows({"file_name": f"{i}.wav"} | about for i, about in enumerate(ABOUT))
    assert ",nan," in (root / "metadata.csv").read_text()
    return "audiofolder"


def as_pandas_strings(root: Path) -> Layout:
    table = pd.DataFrame([{"file_name": f"{i}.wav"} | about for i, about in enumerate(ABOUT)]).convert_dtypes()
    table.map(str).to_csv(root / "metadata.csv", index=False)
    assert ",<NA>," in (root / "metadata.csv").read_text()
    return "audiofolder"


def as_parquet(root: Path) -> Layout:
    names = {name: [about[name] for about in ABOUT] for name in ("text", "label", "speaker")}
    numbers = {"mood": pa.array([NAN, math.inf, -math.inf]), "age": pa.array([NAN, math.inf, NAN])}
    table = {"file_name": [f"{i}.wav" for i in range(3)]} | names
    arrays = {name: pa.array(values, pa.string(), from_pandas=True) for name, values in table.items()}
    pq.write_table(pa.table(arrays | numbers), root / "metadata.parquet")
    return "audiofolder"


def as_nemo(root: Path) -> Layout:
    lines(root / "train.json", [{"audio_filepath": f"{i}.wav"} | about for i, about in enumerate(ABOUT)])
    return "nemo"


def as_webdataset(root: Path) -> Layout:
    members = {f"{i}.json": json.dumps(about).encode() for i, about in enumerate(ABOUT)}
    published.packed(root / "0.tar", members | {f"{i}.flac": published.sound() for i in range(3)})
    return "webdataset"


def as_webdataset_texts(root: Path) -> Layout:
    members = {f"{i}.{kind}": str(about[name]).encode() for i, about in enumerate(ABOUT)
               for kind, name in (("txt", "text"), ("cls", "label"))}  # fmt: skip
    members |= {f"{i}.json": json.dumps({"speaker": about["speaker"]}).encode() for i, about in enumerate(ABOUT)}
    published.packed(root / "0.tar", members | {f"{i}.flac": published.sound() for i in range(3)})
    return "webdataset"


def as_lhotse(root: Path) -> Layout:
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    cuts = [
        {
            "id": f"{i}", "type": "MonoCut", "start": float(i), "duration": 1.0, "channel": 0,
            "recording": {"id": "r", "duration": 9.0, "sources": [source]},
            "custom": {"mood": NAN, "label": about["label"]},
            "supervisions": [{"start": 0.0, "text": about["text"], "speaker": about["speaker"]}],
        }
        for i, about in enumerate(ABOUT)
    ]  # fmt: skip
    (root / "cuts.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, cuts)).encode()))
    return "lhotse"


def as_huggingface(root: Path) -> Layout:
    classes = {"names": ["no", "yes"], "_type": "ClassLabel"}
    return embedded(root, [[1], [None], [0]], {"_type": "Sequence", "feature": classes})


def as_huggingface_floats(root: Path) -> Layout:
    return embedded(root, [1.0, NAN, 0.0], {"names": ["no", "yes"], "_type": "ClassLabel"})


def embedded(root: Path, labels: list[Any], feature: dict[str, Any]) -> Layout:
    """A parquet file with embedded audio and classes by their numbers."""
    audio = [{"bytes": published.sound(), "path": None} for _ in range(3)]
    features = {"label": feature}
    table = pa.table({
        "audio": audio, "text": pa.array([about["text"] for about in ABOUT], pa.string(), from_pandas=True),
        "speaker": [["s"], [None], ["s"]], "label": labels, "mood": [NAN] * 3,
    })  # fmt: skip
    schema = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(table.replace_schema_metadata(schema), root / "train.parquet")
    return "huggingface"


@pytest.mark.parametrize(
    "write",
    [
        as_jsonl, as_csv, as_pandas_strings, as_parquet, as_nemo, as_webdataset, as_webdataset_texts, as_lhotse,
        as_huggingface, as_huggingface_floats,
    ],
)  # fmt: skip
def test_nan_is_null_in_every_table(tmp_path: Path, write: Callable[[Path], Layout]) -> None:
    rows = [row for row in read_rows(tmp_path, write(tmp_path), None) if isinstance(row, Row)]
    assert [(row.text, row.label, row.speaker) for row in rows] == EXPECTED
    assert [(row.age, row.attributes.get("mood")) for row in rows] == [(None, None)] * 3


def test_gigaspeech_segments_without_a_text(tmp_path: Path) -> None:
    segments = [{"sid": f"{i}", "begin_time": i, "end_time": i + 1, "text_tn": NAN} for i in range(2)]
    audios = [{"path": "a.opus", "aid": NAN, "language": NAN, "segments": segments}]
    (tmp_path / "GigaSpeech.json").write_text(json.dumps({"audios": audios}))
    rows = [row for row in read_rows(tmp_path, "gigaspeech", None) if isinstance(row, Row)]
    assert [(row.text, row.session, row.language, row.attributes) for row in rows] == [(None, "a.opus", "en", {})] * 2


def row(**record: Any) -> Row:
    return row_from({"file_name": "a.wav"} | record, match_columns(record, Asked(), "a table"))


@pytest.mark.parametrize("field", ["text", "label", "speaker", "gender", "language", "age"])
def test_a_list_of_one_is_its_element(field: str) -> None:
    assert getattr(row(**{field: ["hello"]}), field) == "hello"
    assert getattr(row(**{field: [[3.0]]}), field) == "3"
    assert [getattr(row(**{field: empty}), field) for empty in ([], [None], [NAN], {}, [[]])] == [None] * 5
    assert getattr(row(**{field: ["a", "b"]}), field) == '["a", "b"]'


def test_attributes_stay_as_they_are_but_for_what_says_nothing() -> None:
    found = row(text="x", label="y", tags=["a"], box={"x": [1]}, none=[], snr=NAN, peak=math.inf, gain=2.0)
    assert found.attributes == {"tags": '["a"]', "box": '{"x": [1]}', "gain": "2"}


def test_of_two_names_the_one_with_a_value_counts() -> None:
    assert row(text=NAN, sentence="said").text == "said"
    assert row(text=[], sentence=["said"]).text == "said"


def test_the_word_nan_is_one_where_values_have_types(tmp_path: Path) -> None:
    lines(tmp_path / "metadata.jsonl", [{"file_name": "a.wav", "text": "nan", "label": "nan", "language": "nan"}])
    (typed,) = read_rows(tmp_path, "audiofolder", None)
    assert isinstance(typed, Row)
    assert (typed.text, typed.label, typed.language) == ("nan", "nan", "nan")
    assert row_from({"text": "NaN", "label": "<NA>"}, Columns(("label",), "")).label is None


def test_kaldi_keeps_texts_of_one_word_that_elsewhere_says_nothing(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path)
    (root / "text").write_text("u1 none\nu2 unknown\nu3 nan\n")
    (root / "utt2spk").write_text("u1 none\nu2 nan\n")
    rows = [item for item in read_rows(root, "kaldi", None) if isinstance(item, Row)]
    assert [(each.text, each.speaker) for each in rows] == [
        ("none", None),
        ("unknown", None),
        (None, None),
        (None, None),
    ]
