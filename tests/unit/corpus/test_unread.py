"""A table that names most recordings and that no reader knows stops the run; what else is not read is said."""

import csv
import gzip
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.layouts import unread
from allears.corpus.layouts.detect import detect
from allears.corpus.listing import resolve
from allears.corpus.settings import remember
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings, SourceSettings
from tests.unit.corpus import miniatures

# as in mcv-sps-st-09-2025/sps-corpus-1.0-2025-09-05-*/ss-corpus-*.tsv
SPONTANEOUS = (
    "client_id", "audio_id", "audio_file", "duration_ms", "prompt_id", "prompt", "transcription", "votes", "age",
    "gender", "language", "split",
)  # fmt: skip
IDS = [f"spontaneous-speech-en-{60_000 + i}" for i in range(12)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings in `audios/`."""
    root = tmp_path_factory.mktemp("corpus")
    for i, name in enumerate(IDS):
        miniatures.tone(root / "audios" / f"{name}.mp3", hz=300 + 20 * i)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The same, in a folder of the test's own."""
    copy = tmp_path / "own"
    (copy / "audios").mkdir(parents=True)
    for name in IDS:
        (copy / "audios" / f"{name}.mp3").hardlink_to(made / "audios" / f"{name}.mp3")
    return copy


def spontaneous(root: Path, share: float = 1.0) -> Path:
    file = root / "ss-corpus-en.tsv"
    with file.open("w", newline="") as handle:
        table = csv.writer(handle, delimiter="\t")
        table.writerow(SPONTANEOUS)
        for i, name in enumerate(IDS[: round(share * len(IDS))]):
            who, said = f"{i % 3:0128x}", f'What I said, "quoted" {i}'
            table.writerow([who, i, f"{name}.mp3", 500, 7, "Why?", said, 2, "", "", "English", "train"])
    return file


def test_spontaneous_speech_of_common_voice(root: Path) -> None:
    spontaneous(root)
    with pytest.raises(CorpusError) as caught:
        detect(root)
    message = str(caught.value)
    assert "ss-corpus-en.tsv (about 12) names recordings, of 12, and no reader knows such a table" in message
    assert f"(columns {', '.join(SPONTANEOUS)})" in message
    assert "Nearest layouts: audiofolder lacks its name" in message
    assert "common_voice lacks path" in message
    assert "ingest.layout=plain" in message
    paths = Paths(corpus="mine", data=root.parent / "data")
    with pytest.raises(CorpusError, match="no reader knows"):
        remember(paths, "mine", path=str(root), licence="CC0-1.0")
    assert not paths.raw.exists()


@pytest.mark.parametrize("layout", ["plain", "folder_per_label"])
def test_who_asks_for_the_recordings_alone_gets_them_with_a_warning(
    root: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    spontaneous(root)
    source = SourceSettings(name="s", path=str(root), layout=layout, licence="CC0-1.0")  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        sources = resolve(CorpusSettings(corpus="mine", sources=(source,)), Paths(corpus="mine", data=root.parent))
    assert sources[0].layout == layout
    assert "ss-corpus-en.tsv (about 12) names recordings, of 12" in caplog.text
    assert "transcription" in caplog.text


def lines(file: Path, *texts: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{text}\n" for text in texts))


WRITERS: dict[str, Callable[[Path], object]] = {
    "paths in csv": lambda root: lines(
        root / "train.csv", "wav_filename,wav_filesize,transcript", *(f"audios/{n}.mp3,9,hello" for n in IDS)
    ),
    "ids and |, no header": lambda root: lines(root / "meta" / "list.txt", *(f"{n}|hello there" for n in IDS)),
    "ids and a space": lambda root: lines(root / "transcripts.txt", *(f"{n} HELLO THERE" for n in IDS)),
    "protocol of ASVspoof": lambda root: lines(
        root / "protocol.trl.txt", *(f"LA_0079 {n} - - bonafide" for n in IDS)
    ),
    "RTTM": lambda root: lines(
        root / "all.rttm", *(f"SPEAKER {n} 1 0.10 0.25 <NA> <NA> ann <NA> <NA>" for n in IDS)
    ),
    "text of Kaldi without wav.scp": lambda root: lines(root / "text", *(f"{n} HELLO THERE" for n in IDS)),
    "quoted, with ;": lambda root: lines(root / "a.csv", "clip;said", *(f'"{n}.wav";"hello; there"' for n in IDS)),
    "Windows paths": lambda root: lines(root / "a.tsv", "f\ttext", *(f"D:\\x\\{n}.wav\thello" for n in IDS)),
    "jsonl": lambda root: lines(
        root / "x.jsonl", *(json.dumps({"wav": f"/old/{n}.wav", "trans": 'a "b"'}) for n in IDS)
    ),
    "one JSON list": lambda root: lines(root / "x.json", json.dumps([{"wav": f"{n}.mp3", "trans": "a"} for n in IDS])),
    "JSON by file": lambda root: lines(root / "x.json", json.dumps({f"{n}.mp3": "hello" for n in IDS})),
    "JSON by file, deeper": lambda root: lines(
        root / "x.json", json.dumps({n: {"text": "a", "speaker": f"s{n}"} for n in IDS}, indent=1)
    ),
    "packed": lambda root: (root / "x.csv.gz").write_bytes(
        gzip.compress("".join(["name,text\n", *(f"{n}.mp3,hello\n" for n in IDS)]).encode())
    ),
    "parquet": lambda root: pd.DataFrame({"clip_name": IDS, "trans": ["a"] * 12}).to_parquet(root / "x.parquet"),
    "two tables": lambda root: [
        lines(root / f"{split}.csv", "audio;label", *(f"{n}.mp3;yes" for n in part))
        for split, part in (("train", IDS[:4]), ("test", IDS[4:8]))
    ],
}  # fmt: skip


@pytest.mark.parametrize("written", WRITERS)
def test_tables_of_any_form_are_noticed(root: Path, written: str) -> None:
    WRITERS[written](root)
    with pytest.raises(CorpusError, match=r"no reader knows such a table.*Nearest layouts: .*audiofolder"):
        detect(root)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


HARMLESS: dict[str, Callable[[Path], object]] = {
    "digests": lambda root: lines(root / "sha256sum.txt", *(f"{digest(n)}  audios/{n}.mp3" for n in IDS)),
    "a list": lambda root: lines(root / "all.lst", *(f"audios/{n}.mp3" for n in IDS)),
    "durations": lambda root: lines(root / "d.tsv", "clip\tduration[ms]", *(f"{n}.mp3\t500" for n in IDS)),
    "prose": lambda root: lines(root / "README.txt", "Twelve recordings, made in May.", "Do not share them."),
    "settings": lambda root: lines(root / "config.json", json.dumps({"name": "x", "files": {"rate": 3}})),
    "no table": lambda root: (root / "x.parquet").write_bytes(b"PAR1 and nothing else"),
    "a link to nothing": lambda root: (root / "notes.txt").symlink_to(root / "gone.txt"),
    "binary": lambda root: (root / "index").write_bytes(bytes(range(256)) * 100),
    "other recordings": lambda root: lines(root / "x.csv", "file,text", *(f"other-{n}.mp3,hello" for n in IDS)),
}


@pytest.mark.parametrize("written", HARMLESS)
def test_what_tells_nothing_stops_nobody(root: Path, written: str) -> None:
    HARMLESS[written](root)
    assert detect(root).layout == "plain"


def test_numbers_name_recordings_only_in_columns_of_names(tmp_path: Path) -> None:
    for i in range(10):
        miniatures.tone(tmp_path / f"{i}.wav")
    lines(tmp_path / "results.csv", "epoch,loss", *(f"{i},0.{i}" for i in range(10)))
    assert detect(tmp_path).layout == "plain"
    lines(tmp_path / "labels.csv", "clip_id,word", *(f"{i},yes" for i in range(10)))
    with pytest.raises(CorpusError, match=r"labels\.csv \(about 10\)"):
        detect(tmp_path)


def test_a_table_of_few_and_texts_beside_recordings_are_said(root: Path) -> None:
    spontaneous(root, share=0.25)
    for name in IDS[:5]:
        lines(root / "audios" / f"{name}.txt", "hello")
    lines(root / "audios" / f"{IDS[0]}.mp3.json", "{}")
    why = detect(root).why
    assert "ss-corpus-en.tsv (about 3) names recordings, of 12 and is not read" in why
    assert "files called like a recording are not read (5 × .txt, 1 × .json)" in why


def test_a_long_table_is_judged_by_its_head(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["paths in csv"](root)
    monkeypatch.setattr(unread, "_HEAD", 200)
    with pytest.raises(CorpusError, match=r"train\.csv \(about (9|1[0-2])\)"):
        detect(root)
    lines(root / "train.csv", "file,text", *(f"{n}.mp3,hello" for n in IDS[:2]))
    assert detect(root).layout == "plain"


def test_a_second_table_of_an_audiofolder_is_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines(root / "metadata.csv", "file_name,text", *(f"audios/{n}.mp3,hello" for n in IDS))
    source = SourceSettings(name="s", path=str(root), licence="CC0-1.0")
    settings, paths = CorpusSettings(corpus="mine", sources=(source,)), Paths(corpus="mine", data=root.parent)
    with caplog.at_level(logging.WARNING):
        assert [found.layout for found in resolve(settings, paths)] == ["audiofolder"]
        assert not caplog.text
        lines(root / "speakers.tsv", "clip\tspeaker", *(f"{n}\tann" for n in IDS))
        resolve(settings, paths)
    assert "speakers.tsv (about 12) names recordings, of 12, and no reader knows such a table" in caplog.text
    assert "(columns clip, speaker)" in caplog.text
