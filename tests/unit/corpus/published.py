"""Miniatures of published layouts: names, headers and folders as their releases have them, with tones for speech."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from tests.unit.corpus.miniatures import tone

_CV_17 = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale"
    "\tsegment"
)
_CV_3 = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tlocale\tsegment"


def write(path: Path, *lines: str) -> Path:
    """A text file of `lines`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def sound(hz: float = 440.0, seconds: float = 0.5, kind: str = "FLAC") -> bytes:
    """The bytes of a recording."""
    stream = io.BytesIO()
    soundfile.write(
        stream, 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16_000)) / 16_000), 16_000, format=kind
    )
    return stream.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """A tar of `members`, compressed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def librispeech(root: Path) -> Path:
    """Two subsets, two readers; the tables beside the subsets, as the tars unpack them."""
    base = root / "LibriSpeech"
    write(
        base / "SPEAKERS.TXT",
        "; Some pretty ASCII art",
        ";ID  |SEX| SUBSET           |MINUTES| NAME",
        "84   | F | dev-clean        |  8.02 | Christie Nowak",
        "121  | F | test-clean       |  8.13 | Nikolle Doolin",
    )
    write(
        base / "CHAPTERS.TXT",
        ";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE",
        "121123 | 84   | 4.02 | dev-clean | 85   | 1184  | The Bond | The Count of Monte Cristo",
    )
    for subset, chapter in (("dev-clean", "84/121123"), ("test-clean", "121/121726")):
        stem = chapter.replace("/", "-")
        folder = base / subset / chapter
        write(folder / f"{stem}.trans.txt", f"{stem}-0000 GO DO YOU HEAR", f"{stem}-0001 BUT IN LESS THAN FIVE MINUTES")
        for i in range(2):
            tone(folder / f"{stem}-000{i}.flac", rate_hz=16_000, hz=300 + 50 * i)
    return root


def common_voice(root: Path, *, old: bool = False) -> Path:
    """One language: clips of train, dev and test, which validated repeats; then one each of the rest."""
    base = root / "cv-corpus-17.0-2024-03-15" / "de"

    def line(number: int, sentence: str, gender: str) -> str:
        clip, who = f"common_voice_de_{number}.mp3", f"{number % 3:0128x}"
        tone(base / "clips" / clip, rate_hz=32_000, hz=300 + 20 * number)
        if old:
            return f"{who}\t{clip}\t{sentence}\t2\t0\ttwenties\t{gender}\tgermany\tde\t"
        return (
            f"{who}\t{clip}\t{number:064x}\t{sentence}\tgeneral\t2\t0\ttwenties\t{gender}\tDeutschland Deutsch\t\tde\t"
        )

    names = ("male", "female") if old else ("male_masculine", "female_feminine")
    lines = {
        "train": line(1, 'Er sagte: "Ja.', names[0]), "dev": line(2, "Guten Tag.", names[1]),
        "test": line(3, '"Wie geht es?', ""),
        "validated": line(4, "Noch eines.", names[0] if old else "do_not_wish_to_say"),
        "other": line(5, "Zu wenige Stimmen.", ""), "invalidated": line(6, "Das wurde nicht gesagt.", ""),
    }  # fmt: skip
    for name, own in lines.items():
        parts = [lines["train"], lines["dev"], lines["test"]] if name == "validated" else []
        write(base / f"{name}.tsv", _CV_3 if old else _CV_17, *parts, own)
    write(base / "reported.tsv", "sentence_id\tsentence\tlocale\treason", "1\tNoch eines.\tde\tgrammar")
    write(base / "clip_durations.tsv", "clip\tduration[ms]", "common_voice_de_1.mp3\t500")
    return root


def fleurs(root: Path, *, unpacked: bool = False) -> Path:
    """One language, the same sentence by two people in train."""
    base = root / "data" / "de_de"
    said = {
        "train": [("1", "10001", "MALE"), ("1", "10002", "FEMALE")], "dev": [("2", "10003", "FEMALE")],
        "test": [("3", "10004", "MALE")],
    }  # fmt: skip
    for split, rows in said.items():
        write(
            base / f"{split}.tsv",
            *(f'{i}\t{name}.wav\tSatz "{i}".\tsatz {i}\ts a t z | {i} |\t8000\t{gender}' for i, name, gender in rows),
        )
        recordings = {f"{split}/{name}.wav": sound(300 + int(name) % 100, kind="WAV") for _, name, _ in rows}
        if unpacked:
            for name, data in recordings.items():
                (base / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
                (base / "audio" / name).write_bytes(data)
        else:
            packed(base / "audio" / f"{split}.tar.gz", recordings)
    return root


def mls(root: Path) -> Path:
    """One language, one speaker a split."""
    base = root / "mls_german"
    write(
        base / "metainfo.txt",
        " SPEAKER   |   GENDER   | PARTITION  |  MINUTES   |  BOOK ID   |             TITLE              |   CHAPTER",
        " 252       |     M      |   train    |   19.62    |   2415     | Buch der Lieder                |  Kapitel 1",
        " 1649      |     F      |    dev     |   19.62    |   2416     | Faust                          |  Kapitel 2",
        " 1756      |     F      |    test    |   19.62    |   2417     | Emil                           |  Kapitel 3",
    )
    for split, speaker, book in (("train", "252", "2415"), ("dev", "1649", "2416"), ("test", "1756", "2417")):
        ids = [f"{speaker}_{book}_{i:06d}" for i in range(2)]
        for i, name in enumerate(ids):
            tone(base / split / "audio" / speaker / book / f"{name}.flac", rate_hz=16_000, hz=300 + 50 * i)
        write(base / split / "transcripts.txt", *(f"{name}\tdas ist satz {i}" for i, name in enumerate(ids)))
        write(base / split / "segments.txt", *(f"{name}\thttp://example.org/x.mp3\t0.0\t0.5" for name in ids))
    return root


def voxpopuli(root: Path) -> Path:
    """Two sessions of one language with three speeches, and one that is in no split."""
    for session in ("20180613-0900-PLENARY-15", "20190115-0900-PLENARY-9"):
        tone(root / "raw_audios" / "de" / session[:4] / f"{session}_de.ogg", seconds=3.0, rate_hz=16_000)
    head = "original_text|normed_text|session_id|id_|start_time|end_time|vad|speaker_id|gender|split"
    lines = (
        "Herr Präsident!|herr präsident|20180613-0900-PLENARY-15|de_1|0.25|1.25|[(0.25, 1.25)]|96752|male|train",
        '"Ja" sagte sie.|ja sagte sie|20180613-0900-PLENARY-15|de_2|1.5|2.5|[(1.5, 2.5)]|None|None|dev',
        "Danke.|danke|20190115-0900-PLENARY-9|de_1|0.0|2.0|[(0.0, 2.0)]|124729|female|test",
    )
    path = root / "asr_de.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as handle:
        handle.write("".join(f"{line}\n" for line in (head, *lines)))
    return root


def gigaspeech(root: Path) -> Path:
    """A podcast and an evaluated video, with all tags of punctuation and one segment of no speech."""

    def segment(sid: str, start: float, end: float, text: str, speaker: str = "N/A") -> dict[str, Any]:
        subsets = ["{TEST}"] if sid.startswith("YOU") else ["{XL}", "{L}"]
        return {
            "sid": sid, "speaker": speaker, "begin_time": start, "end_time": end, "text_tn": text, "subsets": subsets,
        }  # fmt: skip

    audios = [
        {
            "title": 'On "quotes", [brackets] and ]}', "url": "https://example.org/a", "source": "podcast",
            "path": "audio/podcast/P0000/POD1.opus", "aid": "POD1", "codec": "opus", "channels": 1,
            "sample_rate": 16000, "format": "Ogg Opus", "md5": "0" * 32,
            "duration": 3.0, "category": "Science", "subsets": ["{XL}", "{L}"],
            "segments": [
                segment("POD1_S0000001", 0.1, 1.1, "HELLO <COMMA> WORLD <PERIOD>", "POD1_A"),
                segment("POD1_S0000002", 1.2, 2.9, "REALLY <QUESTIONMARK> YES <EXCLAMATIONPOINT>"),
            ],
        },
        {
            "title": "b", "url": "https://example.org/b", "path": "audio/youtube/P0001/YOU1.opus", "aid": "YOU1",
            "source": "youtube", "codec": "opus", "channels": 1, "sample_rate": 16000, "format": "Ogg Opus",
            "md5": "1" * 32, "duration": 3.0, "category": "News", "subsets": ["{TEST}"],
            "segments": [segment("YOU1_S0000001", 0.0, 1.0, "<MUSIC>"), segment("YOU1_S0000002", 1.0, 2.0, "GOOD DAY")],
        },
    ]  # fmt: skip
    for audio in audios:
        path = root / str(audio["path"])
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * np.sin(np.arange(48_000) / 20), 16_000, format="OGG", subtype="OPUS")
    text = json.dumps({"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios}, indent=4)
    write(root / "GigaSpeech.json", text)
    return root


def nemo(root: Path) -> Path:
    """A manifest a split, named `.json`; one long file with offsets, one whole one."""
    tone(root / "wavs" / "long.wav", seconds=3.0, rate_hz=16_000)
    tone(root / "wavs" / "whole.wav", rate_hz=16_000)
    long = {"audio_filepath": "wavs/long.wav", "lang": "en"}
    first = [
        long | {"offset": 0.5, "duration": 1.0, "text": "good day", "speaker": "a"},
        long | {"offset": 1.5, "duration": 1.25, "text": "how are you"},
    ]
    write(root / "train_manifest.json", *(json.dumps(line) for line in first))
    whole = {"audio_filepath": str(root / "wavs" / "whole.wav"), "duration": 0.5, "text": "fine", "snr": 12.5}
    write(root / "test_manifest.json", json.dumps(whole))
    return root


def lhotse(root: Path) -> Path:
    """Cuts of a stereo file (second channel, a part of it, two supervisions) and of a whole mono one."""
    tone(root / "audio" / "mono.wav", rate_hz=16_000)
    stereo = root / "audio" / "stereo.wav"
    soundfile.write(stereo, np.random.default_rng(0).normal(0, 0.1, (48_000, 2)), 16_000)

    def recording(name: str, channels: list[int], seconds: float) -> dict[str, Any]:
        source = {"type": "file", "channels": channels, "source": str(root / "audio" / f"{name}.wav")}
        return {
            "id": name, "sources": [source], "sampling_rate": 16_000, "num_samples": round(seconds * 16_000),
            "duration": seconds, "channel_ids": channels,
        }  # fmt: skip

    def said(number: int, start: float, text: str, **more: Any) -> dict[str, Any]:
        return {
            "id": f"s{number}", "recording_id": "stereo", "start": start, "duration": 0.5, "channel": 1, "text": text,
            "language": "English", "speaker": "ann", "gender": "F",
        } | more  # fmt: skip

    cuts = [
        {
            "id": "part", "start": 0.5, "duration": 1.5, "channel": 1, "type": "MonoCut",
            "recording": recording("stereo", [0, 1], 3.0),
            "supervisions": [said(2, 0.75, "ARE YOU"), said(1, 0.0, "HOW", custom={"age": "31", "mood": "glad"})],
        },
        {
            "id": "whole", "start": 0, "duration": 0.5, "channel": 0, "type": "MonoCut",
            "recording": recording("mono", [0], 0.5),
            "supervisions": [said(3, 0.0, "FINE", recording_id="mono", channel=0, speaker="bob", gender="M")],
        },
    ]  # fmt: skip
    (root / "cuts_train.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(cut) + "\n" for cut in cuts).encode()))
    return root


def huggingface(root: Path) -> Path:
    """Two shards as `datasets` writes them: classes by name, one row whose bytes are null beside a file."""
    features = {
        "audio": {"sampling_rate": 16_000, "_type": "Audio"}, "text": {"dtype": "string", "_type": "Value"},
        "gender": {"names": ["male", "female"], "_type": "ClassLabel"},
        "intent_class": {"names": ["pay", "call"], "_type": "ClassLabel"},
        "speaker_id": {"dtype": "int64", "_type": "Value"},
    }  # fmt: skip
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("audio", audio), ("text", pa.string()), ("gender", pa.int64()), ("intent_class", pa.int64()),
         ("speaker_id", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )  # fmt: skip
    for split in ("train", "test"):
        rows = [
            {
                "audio": {"bytes": sound(300 + 50 * i), "path": f"{split}{i}.flac"}, "text": f"text {i}",
                "gender": i % 2, "intent_class": i - 1, "speaker_id": 7,
            }
            for i in range(3)
        ]  # fmt: skip
        file = root / "data" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        if split == "test":
            rows[1]["audio"]["bytes"] = None  # type: ignore[index]
            rows[2]["audio"]["bytes"] = None  # type: ignore[index]
            tone(root / "data" / "test1.flac")
        pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=2)
    return root


def webdataset(root: Path) -> Path:
    """Two shards; keys end at the first dot."""
    for split in ("train", "test"):
        members: dict[str, bytes] = {}
        for i in range(2):
            about = {"speaker": f"s{i}", "language": "en", "snr": 12.5, "words": ["a"]}
            members |= {
                f"part/{split}{i}.v1.flac": sound(300 + 50 * i), f"part/{split}{i}.txt": f"text {i}".encode(),
                f"part/{split}{i}.json": json.dumps(about).encode(), f"part/{split}{i}.cls": str(i).encode(),
            }  # fmt: skip
        packed(root / f"{split}-000000.tar", members)
    return root
