"""Columns by their names, in any spelling; those that nothing maps are said, and a person can map them."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pytest

from allears.corpus.layouts.columns import _NAMES, Asked, field_of, match_columns, row_from
from allears.corpus.layouts.read import check_columns, explain_columns, read_rows
from allears.corpus.layouts.row import Row
from allears.corpus.listing import Source, read_listing, resolve
from allears.corpus.settings import recall, remember
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.corpus import ColumnNames, Layout
from tests.unit.corpus import miniatures, published


def csv(root: Path, **columns: list[Any]) -> Path:
    for i in range(3):
        miniatures.tone(root / f"{i}.wav", hz=300 + 50 * i)
    pd.DataFrame({"file_name": [f"{i}.wav" for i in range(3)]} | columns).to_csv(root / "metadata.csv", index=False)
    return root


def rows(root: Path, layout: Layout = "audiofolder", **columns: str) -> list[Row]:
    found = read_rows(root, layout, None, columns=ColumnNames(**columns))
    return [row for row in found if isinstance(row, Row)]


def test_every_field_but_the_label_can_be_mapped() -> None:
    assert set(ColumnNames.model_fields) == set(_NAMES) - {"label"}
    assert set(get_type_hints(Row)) >= set(ColumnNames.model_fields) - {"file"}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("speakerId", "speaker"), ("speakerID", "speaker"), ("SpeakerId", "speaker"), ("Speaker ID", "speaker"),
        ("speaker-id", "speaker"), ("speakerid", "speaker"), ("clientId", "speaker"), ("fileName", "file"),
        ("FILE NAME", "file"), ("audioFilePath", "file"), ("ageGroup", "age"), ("normalizedText", "text"),
        ("sessionId", "session"), ("Licence", "licence"), ("speakers", None), ("spkr", None), ("id", None),
    ],
)  # fmt: skip
def test_spelling_does_not_count(name: str, field: str | None) -> None:
    assert field_of(name) == field


def test_a_column_that_nothing_maps_is_said_with_what_would_map_it(tmp_path: Path) -> None:
    root = csv(
        tmp_path, text=["a", "b", "c"], speakerIdent=list("xyz"), mood=list("gsg"), tone=list("lhl"), length=[1, 2, 3]
    )
    why = explain_columns(root, "audiofolder", None)
    assert why.endswith(
        "kept as attributes: speakerIdent (ingest.columns.speaker=speakerIdent takes it for the speaker), mood, tone"
    )
    assert "kept as attributes: mood, tone" in explain_columns(
        root, "audiofolder", None, ColumnNames(speaker="speakerIdent")
    )
    (tmp_path / "metadata.csv").write_text("file_name,text,speaker,speakerIdent,mood\n0.wav,a,s,x,g\n")
    assert "ingest.columns" not in explain_columns(root, "audiofolder", None)


def test_a_mapped_column_is_the_field_and_what_is_called_so_is_an_attribute(tmp_path: Path) -> None:
    root = csv(tmp_path, text=["a", "b", "c"], said=["A", "B", None], who=list("xyz"), speaker=["s"] * 3)
    found = rows(root, text="said", speaker="who")
    assert [(row.text, row.speaker) for row in found] == [("A", "x"), ("B", "y"), (None, "z")]
    assert found[0].attributes == {"text": "a", "speaker": "s"}
    assert [row.speaker for row in rows(root, speaker="WHO")] == list("xyz")


def test_a_mapped_column_is_no_label(tmp_path: Path) -> None:
    root = csv(tmp_path, who=["x", "x", "y"])
    assert {row.label for row in rows(root)} == {"x", "y"}
    assert {(row.label, row.speaker) for row in rows(root, speaker="who")} == {(None, "x"), (None, "y")}
    assert match_columns(["file_name", "category"], Asked(None, (("accent", "category"),)), "a table").label == ()


def test_a_column_may_name_the_recordings(tmp_path: Path) -> None:
    root = csv(tmp_path, text=["a", "b", "c"])
    table = (root / "metadata.csv").read_text().replace("file_name", "recording")
    (root / "metadata.csv").write_text(table)
    with pytest.raises(CorpusError, match=r"has no column file_name .*ingest\.columns\.file"):
        rows(root)
    assert [row.path for row in rows(root, file="recording")] == ["0.wav", "1.wav", "2.wav"]


WRITTEN: dict[Layout, Any] = {
    "nemo": lambda root: published.write(
        root / "train.json", json.dumps({"audio_filepath": "a.wav", "text": "x", "who": "ann"})
    ),
    "webdataset": lambda root: published.packed(
        root / "0.tar", {"a.flac": published.sound(), "a.json": b'{"who": "ann", "text": "x"}'}
    ),
    "huggingface": lambda root: pd.DataFrame(
        {"audio": [{"bytes": b"x", "path": None}], "text": ["x"], "who": ["ann"]}
    ).to_parquet(root / "train.parquet"),
    "kaldi": lambda root: (miniatures.kaldi(root) / "utt2who").write_text("u1 ann\n"),
    "lhotse": lambda root: published.write(
        root / "cuts.jsonl",
        json.dumps({
            "id": "a", "type": "MonoCut", "start": 0, "duration": 1, "channel": 0, "custom": {"who": "ann"},
            "recording": {"id": "r", "duration": 1, "sources": [{"type": "file", "channels": [0], "source": "a.wav"}]},
            "supervisions": [],
        }),
    ),
    "common_voice": lambda root: published.write(
        root / "train.tsv", "client_id\tpath\tsentence\twho", "x\ta.mp3\thello\tann"
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", WRITTEN)
def test_every_layout_with_columns_of_its_own_takes_them(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "clips").mkdir()
    WRITTEN[layout](tmp_path)
    assert rows(tmp_path, layout, speaker="who")[0].speaker == "ann"
    assert rows(tmp_path, layout, accent="who")[0].accent == "ann"
    check_columns([(tmp_path, layout)], ColumnNames(speaker="who"))
    with pytest.raises(CorpusError, match=r"columns\.speaker=whom: there is no such column; did you mean 'who'"):
        check_columns([(tmp_path, layout)], ColumnNames(speaker="whom"))
    with pytest.raises(CorpusError, match=r"ingest\.columns\.file=who: only tables of the layout audiofolder"):
        check_columns([(tmp_path, layout)], ColumnNames(file="who"))
    assert rows(tmp_path, layout, file="who")[0].path != "ann"


def test_what_was_named_once_is_remembered_and_used(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path / "data")
    root = csv(tmp_path / "mine", text=["a", "b", "c"], who=list("xyz"), place=list("pqr"))
    given = {"path": str(root), "licence": "CC0-1.0"}
    with pytest.raises(CorpusError, match=r"ingest\.columns\.speaker=whom.*did you mean 'who'.*file_name, text, who"):
        remember(paths, "mine", **given, columns=ColumnNames(speaker="whom"))
    assert not paths.raw.exists()
    remember(paths, "mine", **given, columns=ColumnNames(speaker="who"))
    settings = remember(paths, "mine", columns=ColumnNames(session="place"))
    assert settings.columns == recall(paths, "mine").columns == ColumnNames(speaker="who", session="place")
    sources = resolve(settings, paths)
    again = [Source.from_json(json.loads(json.dumps(source.to_json()))) for source in sources]
    assert again == sources
    assert read_listing(again, None)[["speaker", "session"]].to_numpy().tolist() == [["x", "p"], ["y", "q"], ["z", "r"]]


def test_a_column_need_be_in_one_source_only(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path / "data")
    one = csv(tmp_path / "one", text=["a", "b", "c"], who=list("xyz"))
    two = csv(tmp_path / "two", text=["a", "b", "c"], speaker=list("uvw"))
    remember(paths, "mine", path=str(one), licence="CC0-1.0", columns=ColumnNames(speaker="who"))
    settings = remember(paths, "mine", path=str(two), licence="CC0-1.0")
    assert read_listing(resolve(settings, paths), None)["speaker"].tolist() == list("xyzuvw")


def test_of_several_tables_each_is_read_by_its_own_names(tmp_path: Path) -> None:
    columns = match_columns(["who", "speaker"], Asked(None, (("speaker", "who"),)), "two tables")
    assert row_from({"file_name": "a", "speaker": "s"}, columns).speaker == "s"
    assert row_from({"file_name": "a", "who": "w"}, columns).speaker == "w"
    columns = match_columns(["who", "Who", "WHO_"], Asked(None, (("speaker", "Who"),)), "three tables")
    assert (columns.label, columns.kept_apart()) == ((), [])
    assert {row_from({"file_name": "a", name: "w"}, columns).speaker for name in ("who", "Who", "WHO_")} == {"w"}
    columns = match_columns(["Rec", "rec"], Asked(None, (("file", "rec"),)), "two tables", files=True)
    assert {row_from({name: "a.wav"}, columns).path for name in ("Rec", "rec")} == {"a.wav"}
