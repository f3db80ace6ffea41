"""Files that a table names otherwise than the disk does, and endings and names that were taken for none."""

import json
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from allears.audio.ffmpeg import CONTAINERS, executable
from allears.corpus.layouts.detect import detect
from allears.corpus.layouts.files import AUDIO_EXTENSIONS
from allears.corpus.layouts.read import read_rows
from allears.corpus.layouts.row import Reject, Row
from allears.corpus.listing import Source, read_listing, recordings_of
from allears.corpus.probe import probe_files
from allears.corpus.withdrawal import choose
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures, published

NAMES = ("Zoë/añò.wav", "Ångström/é.wav", "plain/a.wav")


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def read(root: Path, layout: Layout) -> tuple[list[Row], list[Reject]]:
    items = list(read_rows(root, layout, None))
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Reject)]


def table(root: Path, layout: Layout, names: list[str]) -> None:
    """A table of the layout that names recordings."""
    sources = [{"type": "file", "channels": [0], "source": name} for name in names]
    lines = {
        "audiofolder": ("metadata.jsonl", [{"file_name": name, "text": "x"} for name in names]),
        "nemo": ("train.json", [{"audio_filepath": name, "text": "x"} for name in names]),
        "lhotse": ("cuts.jsonl", [
            {"id": f"{i}", "type": "MonoCut", "start": 0, "duration": 0.5, "channel": 0,
             "recording": {"id": f"{i}", "duration": 0.5, "sources": [source]}}
            for i, source in enumerate(sources)
        ]),
    }  # fmt: skip
    if layout == "kaldi":
        published.write(root / "wav.scp", *(f"u{i} {name}" for i, name in enumerate(names)))
    else:
        file, records = lines[layout]
        published.write(root / file, *map(json.dumps, records))


@pytest.mark.parametrize("layout", ["audiofolder", "kaldi", "nemo", "lhotse"])
@pytest.mark.parametrize(("on_disk", "in_table"), [(nfd, nfc), (nfc, nfd)])
@pytest.mark.parametrize("absolute", [False, True])
def test_letters_that_are_composed_differently(
    tmp_path: Path, layout: Layout, on_disk: type[str], in_table: type[str], absolute: bool
) -> None:
    if absolute and layout == "audiofolder":
        pytest.skip("its table names nothing elsewhere")
    pool = tmp_path / "pool" if absolute else tmp_path / "root"
    for name in NAMES:
        miniatures.tone(pool / on_disk(name))
    (tmp_path / "root").mkdir(exist_ok=True)
    prefix = f"{pool}/" if absolute else ""
    table(tmp_path / "root", layout, [prefix + in_table(name) for name in NAMES])
    rows, rejects = read(tmp_path / "root", layout)
    assert not rejects
    assert [row.path for row in rows] == [prefix + on_disk(name) for name in NAMES]


def test_common_voice_and_rows_without_bytes_too(tmp_path: Path) -> None:
    base = published.common_voice(tmp_path / "cv") / "cv-corpus-17.0-2024-03-15" / "de"
    (base / "train.tsv").write_text((base / "train.tsv").read_text().replace("voice_de_1", nfc("voice_dé_1")))
    (base / "clips" / "common_voice_de_1.mp3").rename(base / "clips" / nfd("common_voice_dé_1.mp3"))
    assert read(base, "common_voice")[0][0].path == nfd("clips/common_voice_dé_1.mp3")
    miniatures.tone(tmp_path / "hf" / nfd("é.wav"))
    audio = [{"bytes": None, "path": nfc("é.wav")}, {"bytes": b"x", "path": None}]
    pd.DataFrame({"audio": audio}).to_parquet(tmp_path / "hf" / "train.parquet")
    rows, rejects = read(tmp_path / "hf", "huggingface")
    assert (rows[0].path, rejects) == (nfd("é.wav"), [])


def test_two_files_of_one_normal_form_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("\N{ANGSTROM SIGN}.wav", nfd("Å.wav")):
        miniatures.tone(tmp_path / name)
    table(tmp_path, "audiofolder", [nfc("Å.wav")])
    rows, rejects = read(tmp_path, "audiofolder")
    assert (rows, [reject.reason for reject in rejects]) == ([], ["ambiguous_name"])
    table(tmp_path, "audiofolder", [nfd("Å.wav"), "\N{ANGSTROM SIGN}.wav"])
    assert [row.path for row in read(tmp_path, "audiofolder")[0]] == [nfd("Å.wav"), "\N{ANGSTROM SIGN}.wav"]


def test_one_file_by_two_names_is_one_clip(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / nfd("é.wav"))
    for names in ([nfc("é.wav"), nfd("é.wav")], [nfd("é.wav"), nfc("é.wav")]):
        table(tmp_path, "audiofolder", names)
        rows, rejects = read(tmp_path, "audiofolder")
        assert ([row.path for row in rows], [reject.reason for reject in rejects]) == (
            [nfd("é.wav")], ["duplicate_id"],
        )  # fmt: skip


def test_ids_of_kaldi_in_two_normal_forms_are_one(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path)
    for file in (root / name for name in ("wav.scp", "text", "utt2spk", "utt2lang")):
        form = nfc if file.name == "wav.scp" else nfd
        file.write_text(form(file.read_text().replace("u1 ", "ué1 ")))
    rows, rejects = read(root, "kaldi")
    assert (rows[0].name, rows[0].text, rows[0].speaker, rejects) == (nfc("ué1"), "GOOD DAY", "s1", [])


def test_a_name_that_is_nowhere_stays_as_it_is_told(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / "a.wav")
    table(tmp_path, "audiofolder", ["ü.wav", "ö/ü.wav", "a.wav"])
    assert [row.path for row in read(tmp_path, "audiofolder")[0]] == ["ü.wav", "ö/ü.wav", "a.wav"]


@pytest.mark.parametrize("ending", ["wav", "opus", "mp3", "WAV"])
@pytest.mark.parametrize("layout", ["librispeech", "mls", "common_voice", "fleurs", "gigaspeech"])
def test_a_converted_corpus_is_read_as_its_original(tmp_path: Path, layout: Layout, ending: str) -> None:
    root = published.fleurs(tmp_path, unpacked=True) if layout == "fleurs" else getattr(published, layout)(tmp_path)
    original, _ = read(root, layout)
    for file in [file for file in root.rglob("*") if file.suffix in (".flac", ".mp3", ".wav", ".opus")]:
        file.rename(file.with_suffix(f".{ending}"))
    rows, rejects = read(root, layout)
    assert not rejects
    assert [row.path for row in rows] == [f"{row.path.rpartition('.')[0]}.{ending}" for row in original]
    assert [(row.name, row.text, row.split) for row in rows] == [(row.name, row.text, row.split) for row in original]


def test_of_two_conversions_none_is_guessed(tmp_path: Path) -> None:
    root = published.librispeech(tmp_path)
    first = root / "LibriSpeech" / "dev-clean" / "84" / "121123" / "84-121123-0000.flac"
    shutil.copy(first, first.with_suffix(".wav"))
    assert len(read(root, "librispeech")[0]) == 4  # the one that is named is there
    first.rename(first.with_suffix(".ogg"))
    rows, rejects = read(root, "librispeech")
    assert (len(rows), [reject.reason for reject in rejects]) == (3, ["ambiguous_name"])


def test_backslashes_and_colons_are_letters_of_names(tmp_path: Path) -> None:
    names = sorted(["a\\b.wav", "1:30.wav", "12:30:05 call.wav", "C:/x.wav", "C:\\x.wav", "http:/h/x.wav"])
    for name in names:
        miniatures.tone(tmp_path / "corpus" / name)
    source = Source(name="s", root=tmp_path / "corpus", layout="plain", why="", licence="x", label=None)
    listing = read_listing([source], None)
    assert sorted(listing["path"]) == names
    facts = probe_files(recordings_of(listing), tmp_path / "j.jsonl", workers=1)
    assert [fact.duration_s for fact in facts.values()] == [0.5] * len(names)
    table(tmp_path / "corpus", "audiofolder", names)
    assert [row.path for row in read(tmp_path / "corpus", "audiofolder")[0]] == names


def test_separators_of_windows_are_read_where_they_lead_to_a_file(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / "audio" / "a.wav")
    table(tmp_path, "audiofolder", ["audio\\a.wav", "audio\\b.wav", "..\\audio\\a.wav"])
    rows, rejects = read(tmp_path, "audiofolder")
    assert ([row.path for row in rows], len(rejects)) == (["audio/a.wav"], 2)


@pytest.mark.parametrize("names", [("path", "file_name"), ("file_name", "path"), ("audio", "filename")])
@pytest.mark.parametrize("which", [0, 1])
def test_the_column_that_names_files_that_are_there_counts(tmp_path: Path, names: tuple[str, str], which: int) -> None:
    for i in range(3):
        miniatures.tone(tmp_path / f"{i}.wav")
    right, wrong = names[which], names[1 - which]
    columns = {right: [f"{i}.wav" for i in range(3)], wrong: [f"/old/{i}.wav" for i in range(3)], "text": ["a"] * 3}
    pd.DataFrame({name: columns[name] for name in (*names, "text")}).to_csv(tmp_path / "metadata.csv", index=False)
    rows, rejects = read(tmp_path, "audiofolder")
    assert not rejects
    assert [row.path for row in rows] == [f"{i}.wav" for i in range(3)]
    assert rows[0].attributes == {wrong: "/old/0.wav"}


def test_a_path_below_a_dot_is_that_without_it(tmp_path: Path) -> None:
    miniatures.tone(tmp_path / "a" / "b.wav")
    table(tmp_path, "audiofolder", ["./a/b.wav", "a//b.wav", "a/./b.wav"])
    rows, rejects = read(tmp_path, "audiofolder")
    assert ([row.path for row in rows], [reject.reason for reject in rejects]) == (["a/b.wav"], ["duplicate_id"] * 2)


MADE = {
    "weba": "-f webm -c:a libopus", "ts": "-f mpegts -c:a aac", "mts": "-f mpegts -c:a aac", "f4a": "-f mp4 -c:a aac",
    "m2ts": "-f mpegts -mpegts_m2ts_mode 1 -c:a aac", "mpga": "-f mp3 -c:a libmp3lame", "adts": "-f adts -c:a aac",
    "m4r": "-f ipod -c:a aac",
}  # fmt: skip


def test_endings_that_ffmpeg_reads_are_recordings_and_typescript_is_none(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    sound = miniatures.tone(tmp_path / "a.wav", seconds=1.0, rate_hz=44_100)
    root.mkdir()
    for ending, options in MADE.items():
        command = [executable(), "-v", "error", "-i", str(sound), *options.split(), str(root / f"a.{ending}")]
        subprocess.run(command, check=True)
    (root / "index.ts").write_text("export const größe: number = 1;\n" * 100, encoding="utf-8")
    (root / "module.mts").write_text("export {};\n")
    found = detect(root)
    assert "8 recordings" in found.why
    sources = [Source(name="s", root=root, layout=found.layout, why="", licence="x", label=None)]
    facts = probe_files(recordings_of(read_listing(sources, None)), tmp_path / "j.jsonl", workers=2)
    assert {recording.file.suffix[1:] for recording in facts} == set(MADE)
    assert [fact.reason for fact in facts.values()] == [None] * len(MADE)
    assert all(abs(fact.duration_s - 1.0) < 0.06 for fact in facts.values())


NO_RECORDINGS = {"apl", "avif", "dvd", "heic", "heif", "ism", "mks", "psp", "spdif"}  # links, images, subtitles, rare


def test_the_endings_are_those_that_ffmpeg_names() -> None:
    def said(*options: str) -> str:
        return subprocess.run(
            [executable(), "-hide_banner", *options], check=True, capture_output=True, text=True
        ).stdout

    own = {*CONTAINERS, "adts", "ipod", "latm", "ismv", "psp", "vob", "dvd", "oga", "ogv", "spx", "opus", "f4v"}
    endings: set[str] = set()
    for kind, mark in (("demuxer", "D"), ("muxer", "E")):
        lines = [line.split() for line in said(f"-{kind}s").splitlines() if line.lstrip().startswith(f"{mark} ")]
        for names in (line[1] for line in lines if own & set(line[1].split(","))):
            found = re.search(r"Common extensions: (.*)\.", said("-h", f"{kind}={names.split(',')[0]}"))
            endings.update(found[1].split(",") if found else [])
    assert len(endings) > 60
    assert endings - NO_RECORDINGS <= AUDIO_EXTENSIONS
    assert {"weba", "awb", "ts", "mpga", "adts", "m2ts", "m4r", "f4a"} <= AUDIO_EXTENSIONS


def listed(root: str) -> pd.DataFrame:
    """The listing of a Kaldi folder of the working directory."""
    source = Source(name="s", root=Path(root), layout="kaldi", why="", licence="CC0-1.0", label=None)
    return read_listing([source], None)


def test_whole_paths_in_the_project_count_from_it_and_lead_to_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, disk = tmp_path / "project", tmp_path / "disk"
    file = miniatures.tone(project / "audio" / "x.wav", seconds=2.0)
    miniatures.tone(disk / "audio" / "x.wav", seconds=1.0)
    for folder in (project / "own", disk / "kaldi"):
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text(f"u {file}\n")
    (project / "linked").symlink_to(disk / "kaldi")  # linked/../audio is the one on the disk
    monkeypatch.chdir(project)
    own = listed("own")
    assert own["path"].tolist() == ["../audio/x.wav"]
    assert listed("linked")["path"].tolist() == [str(file)]
    for listing in (own, listed("linked")):
        [recording] = recordings_of(listing)
        assert recording.file.samefile(file)
        rows = listing.assign(clip="c", group="g")
        for name in (str(file), "audio/x.wav"):
            assert choose(rows, "file", name, None, "mine")["clip"].tolist() == ["c"]
