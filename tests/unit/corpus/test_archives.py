"""Tars as people pack them: members that begin with `./`, folders as members, names that hold dots."""

import json
import logging
import tarfile
from pathlib import Path

import pytest

from allears.corpus.layouts.detect import detect
from allears.corpus.layouts.read import read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.params.corpus import Layout
from allears.storage.containers import read_members, tar_members
from tests.unit.corpus import published

ODD = "235340 Track 0.0 (Clean)"


def read(root: Path, layout: Layout = "webdataset") -> tuple[list[Row], list[Reject]]:
    items = list(read_rows(root, layout, None))
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Reject)]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings with what is said of each, a deeper one, and what macOS leaves beside them."""
    folder = tmp_path_factory.mktemp("unpacked")
    (folder / "deep.wav").mkdir()  # a folder that is called like a recording
    for i, name in enumerate([f"{i:03d}" for i in range(5)] + ["deep.wav/005"]):
        (folder / f"{name}.flac").write_bytes(published.sound(300 + 50 * i))
        (folder / f"{name}.json").write_text(json.dumps({"text": f"text {i}", "speaker": f"s{i}"}))
        (folder / f"{name}.").with_name(f"._{name.rpartition('/')[2]}.json").write_bytes(b"\0\x05\x16\x07")
    return folder


def pack(folder: Path, tar: Path, prefix: str) -> Path:
    """A tar of the folder, as `tar -C folder -cf tar .` makes it, but with another `prefix` for the dot."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w:gz" if tar.name.endswith("gz") else "w") as file:
        file.add(folder, prefix, recursive=False)
        for path in sorted(folder.rglob("*")):
            file.add(path, f"{prefix}/{path.relative_to(folder).as_posix()}", recursive=False)
    return tar


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("prefix", [".", "./", "././", ".//"])
def test_members_below_a_dot_are_those_without_it(tmp_path: Path, unpacked: Path, prefix: str, ending: str) -> None:
    names = sorted(path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.*") if path.is_file())
    published.packed(tmp_path / "plain" / "0.tar", {name: (unpacked / name).read_bytes() for name in names})
    expected, _ = read(tmp_path / "plain")
    pack(unpacked, tmp_path / "dots" / f"0.{ending}", prefix)
    assert detect(tmp_path / "dots").layout == "webdataset"
    rows, rejects = read(tmp_path / "dots")
    assert not rejects
    assert [(row.name, row.member, row.text, row.speaker) for row in rows] == [
        (row.name, row.member, row.text, row.speaker) for row in expected
    ]
    assert [row.text for row in rows] == [f"text {i}" for i in range(6)]
    found = dict(read_members(tmp_path / "dots" / f"0.{ending}", [row.member or "" for row in rows]))
    assert found == {row.member: (unpacked / (row.member or "")).read_bytes() for row in rows}


def test_a_way_out_below_a_dot_is_still_one(tmp_path: Path) -> None:
    published.packed(tmp_path / "0.tar", dict.fromkeys(["./../up.flac", "a/./../../up.flac", "//abs.flac"], b"x"))
    assert [member.problem and member.problem[0] for member in tar_members(tmp_path / "0.tar")] == ["outside_root"] * 3


@pytest.mark.parametrize("prefix", [".", "./train", "train"])
def test_fleurs_finds_its_recordings_below_any_folder(tmp_path: Path, prefix: str) -> None:
    base = published.fleurs(tmp_path) / "data" / "de_de" / "audio"
    folder = tmp_path / "unpacked"
    with tarfile.open(base / "train.tar.gz") as tar:
        wavs = {Path(member.name).name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    folder.mkdir()
    for name, data in ({"._10001.wav": b"\0"} | wavs).items():
        (folder / name).write_bytes(data)
    pack(folder, base / "train.tar.gz", prefix)
    rows = [row for row in read(tmp_path, "fleurs")[0] if row.split == "train"]
    found = dict(read_members(base / "train.tar.gz", [row.member or "" for row in rows]))
    assert list(found.values()) == list(wavs.values())


def test_a_name_with_dots_is_paired_up_to_its_last_one(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for name, text in ((ODD, "clean"), ("235340 Track 0.5 (Noisy)", "noisy"), ("v1.0/a.b.c", "deep")):
        about = json.dumps({"text": text, "speaker": "s"})
        members |= {f"{name}.FLAC": published.sound(), f"{name}.json": about.encode()}
    members[f"{ODD}.cls"] = b"3"
    published.packed(tmp_path / "0.tar", members)
    assert f"up to the last dot ({ODD})" in detect(tmp_path).why
    rows, rejects = read(tmp_path)
    assert not rejects
    assert [(row.name, row.text, row.speaker, row.label, row.attributes) for row in rows] == [
        (ODD, "clean", "s", "3", {}), ("235340 Track 0.5 (Noisy)", "noisy", "s", None, {}),
        ("v1.0/a.b.c", "deep", "s", None, {}),
    ]  # fmt: skip


def test_what_all_recordings_of_a_key_share_is_theirs_and_their_own_comes_first(tmp_path: Path) -> None:
    published.packed(tmp_path / "0.tar", {
        "a.mix.flac": published.sound(), "a.voice.flac": published.sound(500), "a.voice.FLAC": published.sound(600),
        "a.json": b'{"speaker": "s", "text": "both"}', "a.voice.txt": b"voice alone", "a.en.txt": b"in English",
    })  # fmt: skip
    rows, rejects = read(tmp_path)
    assert not rejects
    assert [(row.member, row.text, row.speaker, row.attributes) for row in rows] == [
        ("a.mix.flac", "both", "s", {"en.txt": "in English"}),
        ("a.voice.flac", "voice alone", "s", {"en.txt": "in English"}),
        ("a.voice.FLAC", "voice alone", "s", {"en.txt": "in English"}),
    ]
    assert len({(row.name, row.member) for row in rows}) == 3


def test_a_text_that_pairs_with_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members: dict[str, bytes] = {}
    for i in range(3):
        members |= {f"{i}.flac": published.sound(), f"{i}.meta.json": b'{"text": "lost"}', f"{i}.lab": b"0 1 a"}
    published.packed(tmp_path / "0.tar", members)
    why = "3 recordings have a text whose name pairs with no recording (0.meta.json)"
    assert why in detect(tmp_path).why
    assert "3 × .lab" in detect(tmp_path).why
    with caplog.at_level(logging.WARNING):
        rows, _ = read(tmp_path)
    assert why in caplog.text
    assert [row.attributes for row in rows] == [{"meta.json": '{"text": "lost"}'}] * 3


def test_nothing_is_said_where_nothing_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = published.webdataset(tmp_path)
    with caplog.at_level(logging.WARNING):
        read(root)
    assert not caplog.records
    assert detect(root).why == "there is test-000000.tar with recordings in it (2 tars)"
