"""The embedded sample: its plan in full size, its files in the smallest."""

import collections
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.audio.decode import decode, header
from allears.corpus.sample.build import build_sample
from allears.corpus.sample.plan import Plan, make_plan
from allears.corpus.sample.render import render
from allears.corpus.sample.sentences import LABELS, TEMPLATES, THINGS
from allears.params.ingest import SampleParams
from allears.storage.digest import file_digest

SMALL = SampleParams(speakers=12, minutes=2.0)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    assert build_sample(folder, SMALL, workers=2)
    return folder


@pytest.fixture(scope="module")
def truth(sample: Path) -> dict[str, pd.DataFrame]:
    table = pd.read_csv(sample / "truth.csv", keep_default_na=False)
    return dict(iter(table.groupby("defect")))


def speakers(plan: Plan) -> pd.DataFrame:
    rows = pd.DataFrame(plan.rows())
    return rows[rows["kind"] == "speech"]


def test_the_full_plan_is_what_the_documents_say() -> None:
    table = speakers(make_plan(SampleParams()))
    of = table.groupby("split")["speaker"].nunique()
    assert table["speaker"].nunique() >= 60
    assert of["test"] >= 20
    assert len(set(table["accent"])) == 6
    assert table["accent"].value_counts(normalize=True)["us"] > 0.5
    counts = table["label"].value_counts(normalize=True)
    assert set(counts.index) == set(LABELS)
    assert counts.max() < 1.3 / len(LABELS)
    assert {"wav", "flac", "mp3", "opus", "m4a", "mp4"} == set(table["file_name"].str.rpartition(".")[2])
    assert table["file_name"].is_unique
    assert table["gender"].isna().any()


def test_every_language_has_every_thing_and_names_it_once() -> None:
    assert {len(words) for words in THINGS.values()} == {len(LABELS)}
    assert all(template.count("{thing}") == 1 for templates in TEMPLATES.values() for template in templates)


def test_the_plan_depends_on_nothing_but_its_parameters() -> None:
    assert make_plan(SMALL) == make_plan(SMALL)
    assert make_plan(SMALL) != make_plan(SMALL.model_copy(update={"seed": 1}))


def test_a_speaker_is_made_of_the_same_bytes_every_time(tmp_path: Path) -> None:
    maker = make_plan(SMALL).makers[0]
    for name in ("one", "two"):
        render(maker, tmp_path / name)
    digests = [{p.name: file_digest(p) for p in (tmp_path / name).rglob("*.*")} for name in ("one", "two")]
    assert digests[0] == digests[1]
    assert any(name.endswith(".mp4") for name in digests[0])


def test_every_line_has_its_file_and_no_file_is_left_over(sample: Path) -> None:
    table = pd.read_csv(sample / "audio" / "metadata.csv")
    files = {path.relative_to(sample / "audio").as_posix() for path in (sample / "audio").rglob("*") if path.is_file()}
    assert files == set(table["file_name"]) | {"metadata.csv"}
    assert table.loc[table["kind"] != "speech", ["text", "label", "speaker"]].isna().all(axis=None)
    assert not list(sample.glob("audio.building*"))


def test_an_unchanged_sample_is_not_built_again(sample: Path) -> None:
    before = (sample / "audio" / "metadata.csv").stat().st_mtime_ns
    assert not build_sample(sample, SMALL)
    assert (sample / "audio" / "metadata.csv").stat().st_mtime_ns == before


def test_all_defects_are_planted_in_different_files(truth: dict[str, pd.DataFrame]) -> None:
    expected = {
        "byte_duplicate", "reencoded_duplicate", "clipped", "silent", "upsampled", "truncated", "swapped_text",
        "licence_denied", "licence_unknown", "speaker_leak", "dominant_accent",
    }  # fmt: skip
    assert set(truth) == expected
    paths = [path for name, part in truth.items() if name != "dominant_accent" for path in part["path"]]
    assert len(paths) == len(set(paths))


def test_defects_are_what_they_are_called(sample: Path, truth: dict[str, pd.DataFrame]) -> None:
    audio = sample / "audio"
    for path in truth["clipped"]["path"]:
        assert np.mean(np.abs(soundfile.read(audio / path)[0]) >= 0.99) > 0.005
    for path in truth["silent"]["path"]:
        assert np.abs(decode(audio / path)[0]).max() < 1e-2
    for path in truth["upsampled"]["path"]:
        samples, rate = decode(audio / path)
        power = np.square(np.abs(np.fft.rfft(samples)))
        above = np.fft.rfftfreq(samples.size, 1 / rate) > 4_500
        assert power[above].sum() < 1e-4 * power.sum()
    for path in truth["truncated"]["path"]:
        samples, rate = decode(audio / path)
        assert header(audio / path).duration_s - samples.size / rate > 0.3
    for row in truth["byte_duplicate"].itertuples():
        assert file_digest(audio / row.path) == file_digest(audio / row.detail.rpartition(" of ")[2])
    lossless = truth["reencoded_duplicate"][truth["reencoded_duplicate"]["detail"].str.startswith("lossless")]
    for row in lossless.itertuples():
        one, other = (decode(audio / path)[0] for path in (row.path, row.detail.rpartition(" of ")[2]))
        np.testing.assert_array_equal(one, other)


def test_tables_hold_the_planted_lies(sample: Path, truth: dict[str, pd.DataFrame]) -> None:
    table = pd.read_csv(sample / "audio" / "metadata.csv").set_index("file_name")
    for row in truth["swapped_text"].itertuples():
        assert table.loc[row.path, "text"] != row.detail.removeprefix("says: ")
    assert set(table.loc[truth["licence_denied"]["path"], "licence"]) == {"CC-BY-NC-ND-4.0"}
    assert set(table.loc[truth["licence_unknown"]["path"], "licence"]) == {"unknown"}
    splits = collections.defaultdict(set)
    for row in table[table["speaker"].notna()].itertuples():
        splits[row.speaker].add(row.split)
    leaked = {table.loc[path, "speaker"] for path in truth["speaker_leak"]["path"]}
    assert {speaker for speaker, found in splits.items() if len(found) > 1} == leaked
    assert table["accent"].value_counts().idxmax() == truth["dominant_accent"]["detail"].iloc[0]
