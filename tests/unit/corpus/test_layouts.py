import json
from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.layouts.columns import Asked, match_columns, row_from
from allears.corpus.layouts.detect import check_present, detect
from allears.corpus.layouts.read import explain_columns, read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.errors import CorpusError
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures


def read(root: Path, layout: Layout, label: str | None = None) -> tuple[dict[str, Row], list[Reject]]:
    items = list(read_rows(root, layout, label))
    rows = {item.name: item for item in items if isinstance(item, Row)}
    return rows, [item for item in items if isinstance(item, Reject)]


def test_kaldi_tells_all_that_its_tables_know(tmp_path: Path) -> None:
    rows, rejects = read(miniatures.kaldi(tmp_path), "kaldi")
    assert not rejects
    assert rows["u1"] == Row(
        name="u1", path="audio/u1.wav", text="GOOD DAY", language="en", gender="female", age="31", speaker="s1",
        attributes={"reco2dur": "0.5"},
    )  # fmt: skip
    assert rows["u4"].text is None
    assert (rows["u4"].gender, rows["u4"].age) == ("male", None)


def test_kaldi_refuses_commands_and_counts_every_other_bad_line(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path)
    with (root / "wav.scp").open("a") as table:
        table.write("u5 sox a.wav -t wav - |\nu1 audio/u2.wav\nu6\nu7 ../outside.wav\n")
    with (root / "text").open("a") as table:
        table.write("u5 A COMMAND\nu9 NOBODY SAID THIS\n")
    with (root / "utt2spk").open("a") as table:
        table.write("u1 s2\n")
    rows, rejects = read(root, "kaldi")
    assert set(rows) == {"u1", "u2", "u3", "u4"}
    assert rows["u1"].path == "audio/u1.wav"
    assert rows["u1"].speaker == "s1"
    assert sorted((reject.name, reject.reason) for reject in rejects) == [
        ("u1", "duplicate_id"), ("u1", "duplicate_id"), ("u5", "command"), ("u6", "malformed_line"),
        ("u7", "outside_root"), ("u9", "no_audio_entry"),
    ]  # fmt: skip


def test_kaldi_segments_point_into_recordings(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path)
    (root / "segments").write_text(
        "x1 u1 0.0 0.2\nx2 u1 0.2 -1\nx3 nowhere 0 1\nx4 u2 0.3 0.1\nx5 u2 zero one\nx1 u2 0 1\n"
    )
    (root / "text").write_text("x1 GOOD\nx2 DAY\nx8 LOST\n")
    (root / "utt2spk").write_text("x1 s1\nx2 s1\n")
    (root / "utt2lang").unlink()
    rows, rejects = read(root, "kaldi")
    assert {name: (row.path, row.start_s, row.end_s, row.text) for name, row in rows.items()} == {
        "x1": ("audio/u1.wav", 0.0, 0.2, "GOOD"), "x2": ("audio/u1.wav", 0.2, -1.0, "DAY"),
    }  # fmt: skip
    assert rows["x1"].gender == "female"
    assert sorted((reject.name, reject.reason) for reject in rejects) == [
        ("u3", "no_segment"), ("u4", "no_segment"), ("x1", "duplicate_id"), ("x3", "no_audio_entry"),
        ("x4", "bad_segment"), ("x5", "malformed_line"), ("x8", "no_audio_entry"),
    ]  # fmt: skip


def test_kaldi_folders_named_after_splits(tmp_path: Path) -> None:
    miniatures.kaldi(tmp_path / "train")
    miniatures.kaldi(tmp_path / "test")
    assert detect(tmp_path).layout == "kaldi"
    items = [item for item in read_rows(tmp_path, "kaldi", None) if isinstance(item, Row)]
    assert {(item.path, item.split) for item in items} >= {
        ("train/audio/u1.wav", "train"),
        ("test/audio/u1.wav", "test"),
    }
    assert len(items) == 8


def test_kaldi_keeps_licence_and_split_of_each_utterance(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path / "train")
    (root / "utt2license").write_text("u1 CC-BY-NC-4.0\nu2 CC BY 4.0\n")
    (root / "utt2split").write_text("u1 test\n")
    (root / "spk2dialect").write_text("s1 hessian\n")
    rows, rejects = read(tmp_path, "kaldi")
    assert not rejects
    assert [(row.licence, row.split, row.accent) for row in rows.values()] == [
        ("CC-BY-NC-4.0", "test", "hessian"), ("CC-BY-4.0", "train", "hessian"), (None, "train", None),
        (None, "train", None),
    ]  # fmt: skip


def test_kaldi_reads_every_folder_with_recordings(tmp_path: Path) -> None:
    for name in ("train_clean_100", "test_clean", "test_other", "extra"):
        miniatures.kaldi(tmp_path / name)
    found = detect(tmp_path)
    assert found.layout == "kaldi"
    assert all(f"{name}/wav.scp" in found.why for name in ("train_clean_100", "test_clean", "test_other", "extra"))
    items = [item for item in read_rows(tmp_path, "kaldi", None) if isinstance(item, Row)]
    assert {(item.path.partition("/")[0], item.split) for item in items} == {
        ("train_clean_100", "train"), ("test_clean", "test"), ("test_other", "test"), ("extra", None),
    }  # fmt: skip
    assert len(items) == 16


def test_kaldi_takes_an_utterance_of_several_folders_once(tmp_path: Path) -> None:
    audio = miniatures.kaldi(tmp_path / "elsewhere") / "audio"
    ids = {"all": "1234", "train": "123", "train_small": "1", "test": "34"}
    for folder, numbers in ids.items():
        (tmp_path / "corpus" / folder).mkdir(parents=True)
        (tmp_path / "corpus" / folder / "wav.scp").write_text("".join(f"u{i} {audio}/u{i}.wav\n" for i in numbers))
    rows, rejects = read(tmp_path / "corpus", "kaldi")
    assert {name: row.split for name, row in rows.items()} == {"u1": "train", "u2": "train", "u3": "test", "u4": "test"}
    assert [(reject.name, reject.reason) for reject in rejects] == [("u3", "duplicate_id")]
    assert "train/wav.scp, 'u3': it was there before, of test" in rejects[0].message


def test_audiofolder_reads_each_table_by_its_own_columns(tmp_path: Path) -> None:
    tables = {
        "dev": "file_name,text\na.wav,one\n", "test_clean": "file_name,transcription,sex,digit\na.wav,two,m,2\n",
        "train": "file_name,text,gender,license,mood\na.wav,three,f,CC-BY-NC-4.0,glad\n",
    }  # fmt: skip
    for name, table in tables.items():
        miniatures.tone(tmp_path / name / "a.wav")
        (tmp_path / name / "metadata.csv").write_text(table)
    rows, rejects = read(tmp_path, "audiofolder", "mood")
    assert not rejects
    assert [(row.text, row.gender, row.licence, row.split, row.label) for row in rows.values()] == [
        ("one", None, None, "dev", None), ("two", "male", None, "test", None),
        ("three", "female", "CC-BY-NC-4.0", "train", "glad"),
    ]  # fmt: skip
    assert [row.label for row in read(tmp_path, "audiofolder", "gender")[0].values()] == [None, "m", "f"]
    assert read(tmp_path, "audiofolder")[0]["train/a.wav"].label is None  # digit or mood? Neither is the only one
    with pytest.raises(CorpusError, match=r"'moood' is no column of .*dev.metadata\.csv and .*did you mean 'mood'"):
        explain_columns(tmp_path, "audiofolder", "moood")
    (tmp_path / "train" / "metadata.csv").write_text("name,text\na.wav,three\n")
    with pytest.raises(CorpusError, match=r"train.metadata\.csv has no column file_name"):
        read(tmp_path, "audiofolder")


def test_a_table_above_another_is_an_error(tmp_path: Path) -> None:
    for name, line in (("", "train/a.wav,one"), ("train", "a.wav,two")):
        miniatures.tone(tmp_path / name / "a.wav")
        (tmp_path / name / "metadata.csv").write_text(f"file_name,text\n{line}\n")
    with pytest.raises(CorpusError, match=r"holds metadata\.csv and train/metadata\.csv: keep the first, or"):
        detect(tmp_path)


def test_audiofolder_maps_columns_and_the_odd_one_out_is_the_label(tmp_path: Path) -> None:
    root = miniatures.audiofolder(tmp_path)
    rows, rejects = read(root, "audiofolder")
    assert not rejects
    assert rows["recordings/1.wav"] == Row(
        name="recordings/1.wav", path="recordings/1.wav", label="1", language="english", gender="female", speaker="ann"
    )
    assert "'digit' is the label" in explain_columns(root, "audiofolder", None)
    assert read(root, "audiofolder", "speaker")[0]["recordings/3.wav"].label == "bob"
    assert read(root, "audiofolder", "speaker")[0]["recordings/3.wav"].speaker == "bob"
    assert read(root, "audiofolder", "speaker")[0]["recordings/3.wav"].attributes == {"digit": "1"}


def test_an_absent_label_column_names_the_columns(tmp_path: Path) -> None:
    root = miniatures.audiofolder(tmp_path)
    with pytest.raises(CorpusError, match=r"'digti' is no column .*did you mean 'digit'.*file_name, digit, speaker"):
        explain_columns(root, "audiofolder", "digti")
    for layout, match in (("folder_per_label", "the folder is the label"), ("plain", "has none")):
        with pytest.raises(CorpusError, match=match):
            explain_columns(root, layout, "digit")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_tables_say_the_same(tmp_path: Path, kind: str) -> None:
    root = miniatures.audiofolder(tmp_path)
    expected = read(root, "audiofolder")
    table = pd.read_csv(root / "metadata.csv")
    (root / "metadata.csv").unlink()
    if kind == "jsonl":
        table.to_json(root / "metadata.jsonl", orient="records", lines=True)
    else:
        table.to_parquet(root / "metadata.parquet")
    assert read(root, "audiofolder") == expected


def test_audiofolder_rejects_lines_it_cannot_use(tmp_path: Path) -> None:
    root = miniatures.audiofolder(tmp_path)
    with (root / "metadata.csv").open("a") as table:
        table.write(
            "recordings/0.wav,1,ann,f,english\nrecordings/4.wav,1,ann\n../../etc/passwd,1,ann,f,english\n,1,a,f,e\n"
        )
    rows, rejects = read(root, "audiofolder")
    assert len(rows) == 4
    assert [reject.reason for reject in rejects] == ["duplicate_id", "malformed_line", "outside_root", "malformed_line"]
    assert "row 6" in rejects[1].message
    (root / "metadata.csv").unlink()
    (root / "metadata.jsonl").write_text('{"file_name": "recordings/0.wav"}\n{broken\n[1]\n')
    rows, rejects = read(root, "audiofolder")
    assert (len(rows), [reject.reason for reject in rejects]) == (1, ["malformed_line", "malformed_line"])


def test_a_table_in_another_encoding_or_with_a_monstrous_field_costs_its_lines_alone(tmp_path: Path) -> None:
    table = b"file_name,text\na.wav,caf\xe9\nb.wav," + b"x" * 200_000 + b"\nc.wav,fine\n"
    (tmp_path / "metadata.csv").write_bytes(table)
    rows, rejects = read(tmp_path, "audiofolder")
    assert {name: row.text for name, row in rows.items()} == {"a.wav": "caf\ufffd", "c.wav": "fine"}
    assert [reject.reason for reject in rejects] == ["malformed_line"]


def test_values_that_say_nothing_are_unknown_and_odd_licences_are_kept_apart(tmp_path: Path) -> None:
    record = {
        "file_name": "a.wav", "text": "unknown", "label": "unknown", "gender": "N/A", "accent": "", "speaker": 7,
        "split": "validation", "license": "my own", "mood": "glad", "tags": ["a"],
    }  # fmt: skip
    (tmp_path / "metadata.jsonl").write_text(json.dumps(record) + "\n")
    row = next(iter(read(tmp_path, "audiofolder")[0].values()))
    assert (row.text, row.label, row.gender, row.accent, row.speaker) == ("unknown", "unknown", None, None, "7")
    assert (row.split, row.licence) == ("dev", "unknown")
    assert row.attributes == {"mood": "glad", "tags": '["a"]', "licence": "my own"}


def test_two_columns_for_one_field_keep_both() -> None:
    record = {"file_name": "a.wav", "sentence": "said", "text": "heard", "up_votes": "2", "mood": "glad"}
    columns = match_columns(record, Asked(), "a table")
    assert columns.label == ()
    row = row_from(record, columns)
    assert (row.path, row.text, row.attributes) == ("a.wav", "said", {"text": "heard", "up_votes": "2", "mood": "glad"})
    assert row_from(record | {"sentence": None}, columns).text == "heard"


def test_a_folder_is_a_label_and_splits_come_first(tmp_path: Path) -> None:
    rows, _ = read(miniatures.folder_per_label(tmp_path / "a"), "folder_per_label")
    assert {row.label for row in rows.values()} == {"dog", "rain"}
    miniatures.folder_per_label(tmp_path / "b" / "train")
    miniatures.folder_per_label(tmp_path / "b" / "test")
    assert detect(tmp_path / "b").layout == "folder_per_label"
    rows, _ = read(tmp_path / "b", "folder_per_label")
    assert (rows["train/dog/1-0-A.wav"].label, rows["train/dog/1-0-A.wav"].split) == ("dog", "train")


def test_a_plain_folder_gives_files_and_nothing_else(tmp_path: Path) -> None:
    rows, _ = read(miniatures.plain(tmp_path), "plain")
    assert list(rows) == ["a.wav", "deep/er/b.flac"]
    assert rows["a.wav"] == Row(name="a.wav", path="a.wav")


def test_a_name_that_is_no_text_is_rejected(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / "good.wav")
    miniatures.tone(tmp_path / "bad\nname.wav")
    rows, rejects = read(tmp_path, "plain")
    assert list(rows) == ["good.wav"]
    assert [reject.reason for reject in rejects] == ["bad_name"]


@pytest.mark.parametrize("layout", ["kaldi", "audiofolder", "folder_per_label", "plain"])
def test_each_miniature_is_recognised_and_says_why(tmp_path: Path, layout: Layout) -> None:
    found = detect(getattr(miniatures, layout)(tmp_path))
    assert found.layout == layout
    assert len(found.why) > 10
    check_present(tmp_path, layout)


def test_two_descriptions_are_an_error_that_names_both(tmp_path: Path) -> None:
    miniatures.kaldi(tmp_path)
    miniatures.audiofolder(tmp_path)
    with pytest.raises(CorpusError, match=r"ingest\.layout=kaldi .* or ingest\.layout=audiofolder"):
        detect(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("{}\n")
    (tmp_path / "wav.scp").unlink()
    with pytest.raises(CorpusError, match=r"metadata\.csv and metadata\.jsonl"):
        detect(tmp_path)


def test_a_folder_without_audio_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(CorpusError, match=r"holds no recordings .found 2 × txt"):
        detect(tmp_path)


def test_a_layout_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    miniatures.plain(tmp_path)
    with pytest.raises(CorpusError, match=r"no wav\.scp, which ingest\.layout=kaldi needs"):
        check_present(tmp_path, "kaldi")
    with pytest.raises(CorpusError, match=r"no metadata\.csv"):
        check_present(tmp_path, "audiofolder")
