import json
from pathlib import Path

import pandas as pd
import pytest

from allears.corpus.build import build, check_share, write_manifest
from allears.corpus.clips import Recording
from allears.corpus.listing import Source, read_listing, recordings_of
from allears.corpus.manifest import COLUMNS, PLACES, Manifest, ManifestValidator
from allears.corpus.probe import Probed, probe_files
from allears.corpus.schema import SCHEMA
from allears.errors import CorpusError
from allears.params.ingest import IngestParams
from tests.unit.corpus import miniatures

PARAMS = IngestParams()


def listing_of(root: Path, layout: str, limit: int | None = None) -> pd.DataFrame:
    source = Source(name="s", root=root, layout=layout, why="", licence="CC-BY-4.0", label=None)  # type: ignore[arg-type]
    return read_listing([source], limit)


def usable(listing: pd.DataFrame) -> list[Recording]:
    return recordings_of(listing[listing["reason"].isna()])


def facts(seconds: float, channels: int = 1) -> Probed:
    return Probed(
        sha256="0" * 64, bytes=1, codec="wav/pcm_16", sample_rate_hz=8_000, channels=channels, duration_s=seconds
    )


def test_every_row_becomes_a_clip_with_all_that_is_known(tmp_path: Path) -> None:
    listing = listing_of(miniatures.audiofolder(tmp_path / "corpus"), "audiofolder")
    built = build(listing, probe_files(usable(listing), tmp_path / "j.jsonl", workers=1), PARAMS)
    manifest = write_manifest(built.clips, tmp_path / "manifest")
    ManifestValidator().validate(manifest)
    table = manifest.frame()
    assert list(table.columns) == [*COLUMNS, *PLACES] == list(SCHEMA.columns)
    assert (manifest.rows, built.rows_used, len(built.quarantine)) == (4, 4, 0)
    assert set(table["group"]) == {"s/speaker/ann", "s/speaker/bob"}
    assert set(table["licence"]) == {"CC-BY-4.0"}
    assert table["end_s"].to_list() == [0.5] * 4
    assert write_manifest(built.clips, tmp_path / "manifest") == manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_rows_in_are_rows_out_and_quarantine(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path / "corpus")
    with (root / "wav.scp").open("a") as table:
        table.write("u5 audio/gone.wav\nu6 cat x |\n")
    (root / "audio" / "u3.wav").write_bytes(b"")
    (root / "audio" / "u4.wav").write_text("this is a text, whatever it is called")
    listing = listing_of(root, "kaldi")
    built = build(listing, probe_files(usable(listing), tmp_path / "j.jsonl", workers=1), PARAMS)
    assert built.rows_used + len(built.quarantine) == len(listing) == 6
    found = {(row.stage, row.reason) for row in built.quarantine.itertuples()}
    assert found == {("probe", "missing_file"), ("layout", "command"), ("probe", "zero_byte"), ("probe", "not_audio")}
    with pytest.raises(CorpusError, match=r"4 of 6 rows cannot be used .* more than ingest\.max_quarantine_share=0\.3"):
        check_share(built, 0.3, "mine")
    check_share(built, 0.7, "mine")


def test_nothing_left_is_an_error_whatever_the_share(tmp_path: Path) -> None:
    listing = listing_of(miniatures.plain(tmp_path), "plain")
    built = build(listing, {file: facts(0.01) for file in usable(listing)}, PARAMS)
    assert set(built.quarantine["reason"]) == {"too_short"}
    with pytest.raises(CorpusError, match="Nothing is left"):
        check_share(built, 1.0, "mine")


def test_long_files_become_pointers_and_lose_what_belongs_to_the_whole(tmp_path: Path) -> None:
    root = miniatures.kaldi(tmp_path)
    listing = listing_of(root, "kaldi")
    known = {file: facts(65.0) for file in usable(listing)}
    table = build(listing, known, PARAMS).clips
    first = table[table["path"] == "audio/u1.wav"]
    assert first["start_s"].to_list() == pytest.approx([0, 65 / 3, 130 / 3])
    assert first["end_s"].to_list() == pytest.approx([65 / 3, 130 / 3, 65])
    assert first["text"].isna().all()
    assert json.loads(first["attributes"].iloc[0])["text_of_whole"] == "GOOD DAY"
    assert set(first["speaker"]) == {"s1"}
    assert table["clip"].is_unique
    assert len(set(first["split"])) == 1
    whole = build(listing, known, PARAMS.model_copy(update={"segment": "none"})).clips
    assert len(whole) == 4
    assert whole["text"].notna().sum() == 3


def test_a_clip_keeps_its_name_when_others_come_and_go(tmp_path: Path) -> None:
    root = miniatures.plain(tmp_path)
    listing = listing_of(root, "plain")
    before = build(listing, {file: facts(1.0) for file in usable(listing)}, PARAMS).clips
    miniatures.tone(root / "0.wav")
    listing = listing_of(root, "plain")
    after = build(listing, {file: facts(1.0) for file in usable(listing)}, PARAMS).clips
    assert set(before["clip"]) < set(after["clip"])


def test_a_limit_draws_from_the_whole_and_always_the_same(tmp_path: Path) -> None:
    for i in range(40):
        miniatures.tone(tmp_path / f"{i:02d}.wav", seconds=0.01)
    drawn = listing_of(tmp_path, "plain", limit=10)
    assert len(drawn) == 10
    assert drawn["path"].max() > "20.wav"
    pd.testing.assert_frame_equal(drawn, listing_of(tmp_path, "plain", limit=10))
    assert set(drawn["path"]) < set(listing_of(tmp_path, "plain", limit=20)["path"])


def test_a_second_probe_reads_only_what_changed(tmp_path: Path) -> None:
    root = miniatures.audiofolder(tmp_path / "corpus")
    files = [Recording(root / "recordings" / f"{i}.wav") for i in range(4)]
    first = probe_files(files, tmp_path / "j.jsonl", workers=1)
    assert all(fact.fresh for fact in first.values())
    miniatures.tone(files[2].file, seconds=0.7)
    second = probe_files(files, tmp_path / "j.jsonl", workers=1)
    assert [fact.fresh for fact in second.values()] == [False, False, True, False]
    assert second[files[2]].duration_s == pytest.approx(0.7)
    assert second[files[0]].sha256 == first[files[0]].sha256


def test_a_corpus_that_moved_is_the_same_version(tmp_path: Path) -> None:
    manifests = []
    for name in ("here", "there"):
        listing = listing_of(miniatures.audiofolder(tmp_path / name), "audiofolder")
        built = build(listing, probe_files(usable(listing), tmp_path / "j.jsonl", workers=1), PARAMS)
        manifests.append(write_manifest(built.clips, tmp_path / "manifest"))
    assert manifests[0].digest == manifests[1].digest
    assert manifests[0].parts != manifests[1].parts


def test_channels_that_are_split_are_clips_of_their_own_and_stay_together(tmp_path: Path) -> None:
    listing = listing_of(miniatures.audiofolder(tmp_path / "corpus"), "audiofolder")
    known = {each: facts(65.0, channels=2) for each in usable(listing)}
    table = build(listing, known, PARAMS.model_copy(update={"channels": "split"})).clips
    assert len(table) == 4 * 2 * 3
    assert set(table["channel"]) == {0, 1}
    assert table["clip"].is_unique
    assert table["speaker"].isna().all()
    assert set(table["group"]) == {"s/speaker/ann", "s/speaker/bob"}  # both sides of a call in one split
    assert json.loads(table["attributes"].iloc[0])["speaker_of_whole"] == "ann"
    assert set(table["label"]) == {"0", "1"}
    mixed = build(listing, known, PARAMS).clips
    assert mixed["channel"].isna().all()


def test_a_call_is_carved_whole_and_its_name_counts_within_its_source(tmp_path: Path) -> None:
    root = miniatures.plain(tmp_path)
    listing = listing_of(root, "plain")
    one = listing.iloc[[0]]
    rows = [
        one.assign(source=source, name=f"{source}{call}{side}", speaker=f"{side}{call}", session=f"call {call}")
        for source in ("x", "y") for call in range(10) for side in "ab"
    ]  # fmt: skip
    known = {file: facts(1.0) for file in usable(listing)}
    table = build(pd.concat(rows, ignore_index=True), known, PARAMS).clips
    assert table.groupby(["source", "session"])["split"].nunique().eq(1).all()
    assert table.groupby("session")["split"].nunique().gt(1).any()
    assert table["split"].value_counts().to_dict() == {"train": 28, "test": 8, "dev": 4}


def test_speakers_of_one_recording_and_every_source_and_language_are_carved_together(tmp_path: Path) -> None:
    """Meetings of four speakers each, whose turns overlap, beside a second source of another language."""
    (tmp_path / "turns").mkdir()
    (tmp_path / "read").mkdir()
    turns = [
        {"audio_filepath": f"m{meeting}.wav", "offset": 2.0 * turn, "duration": 3.0, "speaker": f"{meeting}-{turn % 4}"}
        for meeting in range(3)
        for turn in range(20)
    ]
    read = [{"audio_filepath": f"{i}.wav", "speaker": f"r{i % 12}", "lang": "sw"} for i in range(36)]
    sources = []
    for name, lines in (("turns", turns), ("read", read)):
        root = tmp_path / name
        (root / "manifest.json").write_text("\n".join(json.dumps(line) for line in lines))
        for path in {line["audio_filepath"] for line in lines}:
            (root / str(path)).write_bytes(b"x")
        sources.append(Source(name=name, root=root, layout="nemo", why="", licence="CC0-1.0", label=None))
    listing = read_listing(sources, None)
    table = build(listing, {each: facts(60.0) for each in usable(listing)}, PARAMS).clips
    assert table.groupby(["source", "path"])["split"].nunique().eq(1).all()
    assert table.groupby("source")["split"].nunique().to_dict() == {"read": 3, "turns": 3}
