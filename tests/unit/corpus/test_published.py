"""Each published layout: what its metadata becomes, what is done with its splits, and that it is taken for no other."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from allears.corpus.layouts.detect import check_present, detect
from allears.corpus.layouts.read import READERS, explain_columns, read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.errors import CorpusError
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures, published

MINIATURES: dict[Layout, Callable[[Path], Path]] = {  # the function of the layout's name: a new layout needs one
    layout: getattr(published, layout, None) or getattr(miniatures, layout) for layout in get_args(Layout)
}


def read(root: Path, layout: Layout, label: str | None = None) -> tuple[dict[str, Row], list[Reject]]:
    items = list(read_rows(root, layout, label))
    rows = {item.name: item for item in items if isinstance(item, Row)}
    return rows, [item for item in items if isinstance(item, Reject)]


@pytest.mark.parametrize("layout", MINIATURES)
def test_each_layout_is_itself_and_nothing_else(tmp_path: Path, layout: Layout) -> None:
    root = MINIATURES[layout](tmp_path)
    assert detect(root).layout == layout
    assert {name for name, reader in READERS.items() if reader.seen(root)} == {layout} & set(READERS)
    check_present(root, layout)
    assert explain_columns(root, layout, None)


@pytest.mark.parametrize(
    ("layout", "folders"),
    [
        ("librispeech", ["LibriSpeech", "LibriSpeech/dev-clean"]),
        ("common_voice", ["cv-corpus-17.0-2024-03-15", "cv-corpus-17.0-2024-03-15/de"]),
        ("fleurs", ["data", "data/de_de"]),
        ("mls", ["mls_german", "mls_german/dev"]),
        ("huggingface", ["data"]),
    ],
)
def test_any_folder_of_an_unpacked_release_may_be_given(tmp_path: Path, layout: Layout, folders: list[str]) -> None:
    root = MINIATURES[layout](tmp_path)
    whole, _ = read(root, layout)
    for folder in folders:
        assert detect(root / folder).layout == layout
        rows, _ = read(root / folder, layout)
        assert rows
        for name, row in rows.items():
            assert (row.text, row.speaker, row.gender, row.split) == (
                whole[name].text, whole[name].speaker, whole[name].gender, whole[name].split,
            )  # fmt: skip
            assert f"{folder}/{row.path}" == whole[name].path


@pytest.mark.parametrize("layout", MINIATURES)
def test_every_row_leads_to_a_recording(tmp_path: Path, layout: Layout) -> None:
    root = MINIATURES[layout](tmp_path)
    rows, _ = read(root, layout)
    assert rows
    assert all((root / row.path).is_file() for row in rows.values())


def test_two_layouts_in_one_folder_are_an_error_that_names_them(tmp_path: Path) -> None:
    published.librispeech(tmp_path)
    published.webdataset(tmp_path)
    with pytest.raises(CorpusError, match=r"in 2 ways.*ingest\.layout=librispeech.*or ingest\.layout=webdataset"):
        detect(tmp_path)


def test_librispeech(tmp_path: Path) -> None:
    rows, rejects = read(published.librispeech(tmp_path), "librispeech")
    assert not rejects
    assert rows["84-121123-0001"] == Row(
        name="84-121123-0001", path="LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", language="en",
        gender="female", text="BUT IN LESS THAN FIVE MINUTES", speaker="84", session="84-121123", split="dev",
        attributes={
            "subset": "dev-clean", "reader": "Christie Nowak", "chapter": "The Bond",
            "book": "The Count of Monte Cristo",
        },
    )  # fmt: skip
    assert {row.split for row in rows.values()} == {"dev", "test"}


@pytest.mark.parametrize("old", [False, True])
def test_common_voice_old_and_new(tmp_path: Path, old: bool) -> None:
    rows, rejects = read(published.common_voice(tmp_path, old=old), "common_voice")
    assert not rejects
    assert len(rows) == 6  # each clip once, though validated.tsv repeats those of the splits
    first = rows["common_voice_de_1"]
    assert (first.text, first.gender, first.age, first.language, first.split) == (
        'Er sagte: "Ja.', "male", "twenties", "de", "train",
    )  # fmt: skip
    assert first.accent == ("germany" if old else "Deutschland Deutsch")
    assert len(first.speaker or "") == 128
    assert (first.attributes["up_votes"], first.attributes["status"]) == ("2", "validated")
    assert rows["common_voice_de_3"].text == '"Wie geht es?'
    assert [row.split for row in rows.values()] == ["train", "dev", "test", None, None, None]
    assert [row.attributes["status"] for row in rows.values()] == ["validated"] * 4 + ["other", "invalidated"]
    assert rows["common_voice_de_4"].gender == ("male" if old else None)
    refused = rows["common_voice_de_6"]
    assert (refused.text, refused.attributes["text_invalidated"]) == (None, "Das wurde nicht gesagt.")


def test_common_voice_of_two_headers_under_one_root(tmp_path: Path) -> None:
    published.common_voice(tmp_path)
    new = tmp_path / "cv-corpus-17.0-2024-03-15"
    (published.common_voice(tmp_path / "old", old=True) / new.name / "de").rename(new / "fr")
    rows = {row.path.partition("/")[0]: row for row in read_rows(new, "common_voice", None) if isinstance(row, Row)}
    assert {folder: row.accent for folder, row in rows.items()} == {"de": "Deutschland Deutsch", "fr": "germany"}
    assert not any("accent" in name for row in rows.values() for name in row.attributes)


def test_common_voice_counts_every_line_that_it_cannot_use(tmp_path: Path) -> None:
    base = published.common_voice(tmp_path) / "cv-corpus-17.0-2024-03-15" / "de"
    line = (base / "train.tsv").read_text().splitlines()[1]
    with (base / "train.tsv").open("a") as table:
        table.write(f"{line}\nhalf a line\t\n")
    with (base / "other.tsv").open("a") as table:
        table.write(f"{line}\n{line.replace('common_voice_de_1.mp3', '../../../etc/passwd')}\n")
    rows, rejects = read(base, "common_voice")
    assert len(rows) == 6
    assert [reject.reason for reject in rejects] == ["duplicate_id", "malformed_line", "duplicate_id", "outside_root"]


@pytest.mark.parametrize("unpacked", [False, True])
def test_fleurs_keeps_its_first_row(tmp_path: Path, unpacked: bool) -> None:
    rows, rejects = read(published.fleurs(tmp_path, unpacked=unpacked), "fleurs")
    assert not rejects
    assert list(rows) == ["10001", "10002", "10003", "10004"]
    first = rows["10001"]
    assert (first.text, first.gender, first.language, first.split, first.speaker) == (
        "satz 1", "male", "de", "train", None,
    )  # fmt: skip
    assert first.attributes == {
        "sentence_id": "1", "raw_transcription": 'Satz "1".', "num_samples": "8000", "locale": "de_de",
    }  # fmt: skip
    assert (first.path, first.member) == (
        ("data/de_de/audio/train/10001.wav", None) if unpacked else ("data/de_de/audio/train.tar.gz", "train/10001.wav")
    )


def test_mls(tmp_path: Path) -> None:
    rows, rejects = read(published.mls(tmp_path), "mls")
    assert not rejects
    assert rows["252_2415_000001"] == Row(
        name="252_2415_000001", path="mls_german/train/audio/252/2415/252_2415_000001.flac", text="das ist satz 1",
        speaker="252", session="252_2415", gender="male", language="de", split="train",
        attributes={"title": "Buch der Lieder"},
    )  # fmt: skip
    assert {row.split for row in rows.values()} == {"train", "dev", "test"}


def test_voxpopuli_prefers_the_original_and_counts_sessions_that_are_not_there(tmp_path: Path) -> None:
    root = published.voxpopuli(tmp_path)
    original = root / "raw_audios" / "original" / "2018" / "20180613-0900-PLENARY-15_original.ogg"
    original.parent.mkdir(parents=True)
    shutil.copy(root / "raw_audios" / "de" / "2018" / "20180613-0900-PLENARY-15_de.ogg", original)
    shutil.rmtree(root / "raw_audios" / "de" / "2019")
    rows, rejects = read(root, "voxpopuli")
    assert [(reject.name, reject.reason) for reject in rejects] == [("20190115-0900-PLENARY-9-de_1", "no_audio_entry")]
    first, second = rows.values()
    assert first == Row(
        name="20180613-0900-PLENARY-15-de_1", path="raw_audios/original/2018/20180613-0900-PLENARY-15_original.ogg",
        start_s=0.25, end_s=1.25, text="herr präsident", speaker="96752", gender="male", language="de",
        session="20180613-0900-PLENARY-15", split="train",
        attributes={"original_text": "Herr Präsident!", "id_": "de_1", "vad": "[(0.25, 1.25)]"},
    )  # fmt: skip
    assert (second.speaker, second.gender, second.split) == (None, None, "dev")


def test_gigaspeech_turns_tags_into_what_they_mean(tmp_path: Path) -> None:
    rows, rejects = read(published.gigaspeech(tmp_path), "gigaspeech")
    assert not rejects
    assert [(row.start_s, row.end_s, row.text, row.split, row.speaker) for row in rows.values()] == [
        (0.1, 1.1, "HELLO, WORLD.", "train", "POD1_A"), (1.2, 2.9, "REALLY? YES!", "train", None),
        (0.0, 1.0, None, "test", None), (1.0, 2.0, "GOOD DAY", "test", None),
    ]  # fmt: skip
    assert rows["YOU1_S0000001"].attributes["tag"] == "music"
    assert rows["POD1_S0000001"].attributes["text_tn"] == "HELLO <COMMA> WORLD <PERIOD>"
    assert rows["POD1_S0000001"].session == "POD1"


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_gigaspeech_is_the_same_in_blocks_of_any_length(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = published.gigaspeech(tmp_path)
    whole = read(root, "gigaspeech")
    monkeypatch.setattr("allears.corpus.layouts.gigaspeech._BLOCK", block)
    assert read(root, "gigaspeech") == whole
    text = (root / "GigaSpeech.json").read_text()
    (root / "GigaSpeech.json").write_text(text[: text.index("YOU1_S0000002")])
    rows, rejects = read(root, "gigaspeech")
    assert set(rows) == {"POD1_S0000001", "POD1_S0000002"}
    assert ["breaks off" in reject.message for reject in rejects] == [True]


def test_nemo_takes_a_key_wherever_it_begins(tmp_path: Path) -> None:
    lines = [{"audio_filepath": f"{i}.wav", "text": "x"} for i in range(300)]
    lines[250] |= {"license": "CC-BY-NC-4.0", "gender": "f"}
    published.write(tmp_path / "train.json", *map(json.dumps, lines))
    row = read(tmp_path, "nemo")[0]["250.wav"]
    assert (row.licence, row.gender, row.attributes) == ("CC-BY-NC-4.0", "female", {})


def test_nemo_reads_all_of_many_manifests(tmp_path: Path) -> None:
    for i in range(256):
        published.write(tmp_path / f"manifest_{i}.json", json.dumps({"audio_filepath": f"{i}.wav", "text": "x"}))
    assert "256 manifests" in detect(tmp_path).why
    assert len(read(tmp_path, "nemo")[0]) == 256


def test_nemo_reads_a_json_that_holds_a_line_an_object(tmp_path: Path) -> None:
    root = published.nemo(tmp_path)
    with (root / "train_manifest.json").open("a") as manifest:
        manifest.write((root / "train_manifest.json").read_text().splitlines()[0] + "\n[1]\n{}\n")
        manifest.write(json.dumps({"audio_filepath": "wavs/long.wav", "offset": 1.0, "duration": -2}) + "\n")
        manifest.write(json.dumps({"audio_filepath": "../up.wav", "duration": 1}) + "\n")
    items = list(read_rows(root, "nemo", None))
    rows = [item for item in items if isinstance(item, Row)]
    assert [(row.path, row.start_s, row.end_s, row.text, row.language, row.speaker, row.split) for row in rows] == [
        ("wavs/whole.wav", None, 0.5, "fine", None, None, "test"),
        ("wavs/long.wav", 0.5, 1.5, "good day", "en", "a", "train"),
        ("wavs/long.wav", 1.5, 2.75, "how are you", "en", None, "train"),
    ]
    assert rows[0].attributes == {"snr": "12.5", "duration": "0.5"}
    assert [item.reason for item in items if isinstance(item, Reject)] == [
        "duplicate_id", "malformed_line", "malformed_line", "bad_segment", "outside_root",
    ]  # fmt: skip


def test_lhotse_cuts_and_what_is_no_piece_of_one_file(tmp_path: Path) -> None:
    root = published.lhotse(tmp_path)
    file = root / "cuts_train.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    cut = json.loads(lines[1])

    def changed(name: str, **more: object) -> str:
        return json.dumps(cut | {"id": name} | more)

    def source(kind: str, what: str = "x") -> dict[str, object]:
        return {"recording": cut["recording"] | {"sources": [{"type": kind, "channels": [0], "source": what}]}}

    odd = [
        changed("c", **source("command", "sox x.wav -t wav - |")), changed("u", **source("url", "https://example.org")),
        changed("m", **source("memory")), changed("mixed", type="MixedCut", tracks=[]),
        changed("multi", type="MultiCut"), changed("none", recording=None), changed("seven", channel=7),
        changed("up", **source("file", "../x.wav")),
        changed("speed", recording=cut["recording"] | {"transforms": [{"name": "Speed"}]}), lines[1], "[]",
    ]  # fmt: skip
    file.write_bytes(gzip.compress("\n".join(lines + odd).encode()))
    rows, rejects = read(root, "lhotse")
    assert [reject.reason for reject in rejects] == [
        "command", "url", "memory", "mixed_cut", "multi_cut", "no_audio_entry", "no_audio_entry", "outside_root",
        "transformed", "duplicate_id", "malformed_line",
    ]  # fmt: skip
    assert rows["part"] == Row(
        name="part", path="audio/stereo.wav", channel=1, start_s=0.5, end_s=2.0, text="HOW ARE YOU", language="English",
        speaker="ann", gender="female", age="31", split="train",
        attributes={"mood": "glad", "supervisions": "2", "recording": "stereo"},
    )  # fmt: skip
    assert (rows["whole"].start_s, rows["whole"].end_s, rows["whole"].channel) == (None, 0.5, None)


def test_huggingface_reads_names_of_classes_and_never_the_audio(tmp_path: Path) -> None:
    rows, rejects = read(published.huggingface(tmp_path), "huggingface")
    assert [(reject.name, reject.reason) for reject in rejects] == [("test2.flac", "no_audio_entry")]
    found = [(row.path.rpartition("/")[2][:5], row.member, row.label, row.gender, row.split) for row in rows.values()]
    assert found == [
        ("test-", "0:0", None, "male", "test"), ("test1", None, "pay", "female", "test"),
        ("train", "0:0", None, "male", "train"), ("train", "0:1", "pay", "female", "train"),
        ("train", "1:0", "call", "male", "train"),
    ]  # fmt: skip
    assert {row.speaker for row in rows.values()} == {"7"}


def test_webdataset_puts_together_what_has_one_key(tmp_path: Path) -> None:
    rows, rejects = read(published.webdataset(tmp_path), "webdataset")
    assert not rejects
    assert rows["part/train1"] == Row(
        name="part/train1", path="train-000000.tar", member="part/train1.v1.flac", text="text 1", label="1",
        speaker="s1", language="en", split="train", attributes={"snr": "12.5", "words": '["a"]'},
    )  # fmt: skip


def test_webdataset_takes_a_key_wherever_it_begins(tmp_path: Path) -> None:
    for shard in range(6):
        about = {"text": "x"} | ({"license": "CC-BY-NC-4.0"} if shard == 5 else {})
        members = {f"{shard}.flac": published.sound(), f"{shard}.json": json.dumps(about).encode()}
        published.packed(tmp_path / f"{shard}.tar", members)
    row = read(tmp_path, "webdataset")[0]["5"]
    assert (row.licence, row.attributes) == ("CC-BY-NC-4.0", {})


def test_lhotse_takes_the_licence_from_custom(tmp_path: Path) -> None:
    root = published.lhotse(tmp_path)
    file = root / "cuts_train.jsonl.gz"
    cuts = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    cuts[1]["custom"] = {"sentence": "NOT SAID", "path": "elsewhere.wav", "license": "CC-BY-NC-4.0"}
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, cuts)).encode()))
    row = read(root, "lhotse")[0]["whole"]
    assert (row.licence, row.text, row.path) == ("CC-BY-NC-4.0", "FINE", "audio/mono.wav")
    assert row.attributes == {"sentence": "NOT SAID", "path": "elsewhere.wav", "recording": "mono"}


def test_no_name_stands_for_another_of_the_same_basename(tmp_path: Path) -> None:
    members = {f"{folder}/001.{end}": data for folder in "ab" for end, data in (
        ("flac", published.sound(300 if folder == "a" else 600)), ("txt", folder.encode()),
    )}  # fmt: skip
    published.packed(tmp_path / "x.tar", dict(sorted(members.items(), key=lambda item: item[0][-3:])))
    rows, _ = read(tmp_path, "webdataset")
    assert {(row.name, row.member, row.text) for row in rows.values()} == {
        ("a/001", "a/001.flac", "a"), ("b/001", "b/001.flac", "b"),
    }  # fmt: skip
