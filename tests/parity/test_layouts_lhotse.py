"""Our rows of published layouts against lhotse's own recipes and readers, on the same miniatures.

Where we say more or otherwise, the test says so: languages as codes, one spelling of genders, GigaSpeech's tags of
punctuation as punctuation. lhotse has no reader of NeMo's manifests (NeMo has one, on top of lhotse).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import soundfile
from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.kaldi import load_kaldi_data_dir
from lhotse.recipes.commonvoice import prepare_commonvoice
from lhotse.recipes.fleurs import prepare_fleurs
from lhotse.recipes.gigaspeech import parse_utterance
from lhotse.recipes.librispeech import prepare_librispeech
from lhotse.recipes.mls import prepare_mls
from lhotse.recipes.voxpopuli import prepare_voxpopuli

from allears.corpus.layouts.columns import clean, gender_of
from allears.corpus.layouts.read import read_rows
from allears.corpus.layouts.row import Row
from allears.params.corpus import Layout
from tests.unit.corpus import miniatures, published


@dataclass(frozen=True, kw_only=True, order=True)
class Clip:
    """What both tell of a clip."""

    id: str
    file: str
    start_s: float
    duration_s: float
    channel: int
    text: str
    speaker: str
    language: str
    gender: str
    split: str = ""


def ours(root: Path, layout: Layout) -> list[Clip]:
    items = list(read_rows(root, layout, None))
    assert all(isinstance(item, Row) for item in items)
    return sorted(_our(root, row) for row in items if isinstance(row, Row))


def _our(root: Path, row: Row) -> Clip:
    file = root / row.path
    start = row.start_s or 0.0
    end = soundfile.info(file).duration if row.end_s in (None, -1.0) else row.end_s
    assert end is not None
    return Clip(
        id=row.name, file=str(file.resolve()), start_s=round(start, 6), duration_s=round(end - start, 6),
        channel=row.channel or 0, text=row.text or "", speaker=row.speaker or "", language=row.language or "",
        gender=row.gender or "", split=row.split or "",
    )  # fmt: skip


def theirs(recordings: Iterable[Recording], supervisions: Iterable[SupervisionSegment], split: str = "") -> list[Clip]:
    files = {recording.id: recording.sources[0].source for recording in recordings}
    return [
        Clip(
            id=said.id, file=str(Path(files[said.recording_id]).resolve()), start_s=round(said.start, 6),
            duration_s=round(said.duration, 6), channel=int(said.channel), text=said.text or "",
            speaker=clean(said.speaker) or "", language=said.language or "", gender=gender_of(clean(said.gender)) or "",
            split=split,
        )
        for said in supervisions
    ]  # fmt: skip


def of_splits(manifests: dict[str, dict[str, RecordingSet | SupervisionSet]]) -> list[Clip]:
    """Clips of a recipe's manifests, whose names are the splits (dev-clean: dev)."""
    found = [
        clip
        for name, of in manifests.items()
        for clip in theirs(of["recordings"], of["supervisions"], name.split("-")[0])
    ]
    return sorted(found)


def test_librispeech(tmp_path: Path) -> None:
    root = published.librispeech(tmp_path / "corpus")
    recipe = prepare_librispeech(root / "LibriSpeech", output_dir=tmp_path / "out", dataset_parts="auto")
    expected = [replace(clip, language="en") for clip in of_splits(recipe)]
    assert len(expected) == 4
    assert [replace(clip, gender="") for clip in ours(root, "librispeech")] == expected  # lhotse reads no SPEAKERS.TXT


def test_common_voice(tmp_path: Path) -> None:
    root = published.common_voice(tmp_path / "corpus") / "cv-corpus-17.0-2024-03-15"
    recipe = prepare_commonvoice(root, tmp_path / "out", languages="de")["de"]
    expected = of_splits(recipe)
    assert len(expected) == 3
    assert [clip for clip in ours(root, "common_voice") if clip.split] == expected


def test_fleurs(tmp_path: Path) -> None:
    root = published.fleurs(tmp_path / "corpus", unpacked=True)
    base, given = root / "data" / "de_de", root / "lhotse"
    (given / "metadata" / "de_de").mkdir(parents=True)
    (given / "de_de").mkdir()
    for split in ("train", "dev", "test"):  # as lhotse's own download lays it out
        (base / f"{split}.tsv").rename(given / "metadata" / "de_de" / f"{split}.tsv")
        (base / "audio" / split).rename(given / "de_de" / split)
    recipe = prepare_fleurs(given, tmp_path / "out", languages="de_de")["de_de"]
    expected = [  # its speaker is the sentence's number and a count, which is nobody's
        replace(clip, id=Path(clip.file).stem, language="de", speaker="") for clip in of_splits(recipe)
    ]
    assert len(expected) == 4
    assert ours(given, "fleurs") == sorted(expected)


def test_mls(tmp_path: Path) -> None:
    root = published.mls(tmp_path / "corpus")
    expected = [replace(clip, language="de") for clip in of_splits(prepare_mls(root, opus=False)["german"])]
    assert len(expected) == 6
    assert ours(root, "mls") == expected


def test_voxpopuli(tmp_path: Path) -> None:
    root = published.voxpopuli(tmp_path / "corpus")
    expected = of_splits(prepare_voxpopuli(root, root, lang="de"))
    assert len(expected) == 3

    def without_id(clips: list[Clip]) -> list[Clip]:  # ours is the corpus's own id_, lhotse counts
        return sorted(replace(clip, id="") for clip in clips)

    assert without_id(ours(root, "voxpopuli")) == without_id(expected)


def test_gigaspeech(tmp_path: Path) -> None:
    root = published.gigaspeech(tmp_path)
    expected: list[Clip] = []
    for audio in json.loads((root / "GigaSpeech.json").read_text())["audios"]:
        recording, said = parse_utterance(audio, root)
        expected += [replace(clip, language="en") for clip in theirs([recording], said)]
    rows = {row.name: row for row in read_rows(root, "gigaspeech", None) if isinstance(row, Row)}
    found = [replace(clip, split="", text=rows[clip.id].attributes["text_tn"]) for clip in ours(root, "gigaspeech")]
    assert len(expected) == 4
    assert found == sorted(expected)


@pytest.mark.parametrize("segments", [False, True])
def test_kaldi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: bool) -> None:
    root = miniatures.kaldi(tmp_path)
    (root / "reco2dur").unlink()
    published.write(root / "text", *(f"u{i} TEXT OF {i}" for i in range(1, 5)))
    if segments:
        published.write(root / "segments", "u1 u1 0.0 0.2", "u2 u2 0.1 -1", "u3 u3 0.1 0.4", "u4 u4 0.0 0.5")
    monkeypatch.chdir(root)  # where its wav.scp's relative paths begin
    recordings, supervisions, _ = load_kaldi_data_dir(root, sampling_rate=8000)
    assert supervisions is not None
    expected = sorted(theirs(recordings, supervisions))
    assert len(expected) == 4
    assert ours(root, "kaldi") == expected


def test_lhotse_cuts(tmp_path: Path) -> None:
    root = published.lhotse(tmp_path)
    expected = [
        Clip(
            id=cut.id, file=str(Path(cut.recording.sources[0].source).resolve()), start_s=cut.start,
            duration_s=cut.duration, channel=cut.channel, speaker=cut.supervisions[0].speaker,
            text=" ".join(said.text for said in sorted(cut.supervisions, key=lambda said: said.start)),
            language=cut.supervisions[0].language, gender=gender_of(cut.supervisions[0].gender) or "", split="train",
        )
        for cut in CutSet.from_file(root / "cuts_train.jsonl.gz")
    ]  # fmt: skip
    assert len(expected) == 2
    assert ours(root, "lhotse") == sorted(expected)
