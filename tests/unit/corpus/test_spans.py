"""Segments and durations that corpora name, from their tables to the manifest."""

import math
from pathlib import Path
from typing import Any

import pytest

from allears.corpus.segment import duration_slack_s, settled
from tests.unit.corpus.named_spans import LEFT_HZ, lines, made, tables, times, tones


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"offset": 0, "duration": None}, (0.0, 20.0)),
        ({"offset": 3, "duration": None}, (3.0, 20.0)),
        ({"offset": 3}, (3.0, 20.0)),
        ({"offset": 3.5, "duration": math.nan}, (3.5, 20.0)),
        ({"offset": 3.5, "duration": -1}, (3.5, 20.0)),
        ({"offset": 3.5, "duration": ""}, (3.5, 20.0)),
        ({"offset": None, "duration": 5}, (0.0, 5.0)),
        ({"offset": math.nan, "duration": 5.0}, (0.0, 5.0)),
        ({"offset": "2", "duration": "1.5"}, (2.0, 3.5)),
        ({"duration": 5}, (0.0, 5.0)),
        ({"duration": "5.0"}, (0.0, 5.0)),
        ({"duration": None}, (0.0, 20.0)),
        ({"duration": 20}, (0.0, 20.0)),
        ({"duration": 19.2}, (0.0, 19.2)),
        ({"duration": 19}, (0.0, 20.0)),  # whole seconds may be 20.0 cut off, or rounded
        ({"duration": 0}, (0.0, 20.0)),
        ({}, (0.0, 20.0)),
    ],
)
def test_nemo_lines_are_the_part_of_the_file_that_they_name(
    tmp_path: Path, given: dict[str, Any], expected: tuple[float, float]
) -> None:
    tones(tmp_path / "c" / "a.wav", 20.0, LEFT_HZ)
    lines(tmp_path / "c" / "manifest.json", {"audio_filepath": "a.wav", "text": "x"} | given)
    built = made(tmp_path / "c", "nemo")
    assert built.quarantine.empty
    assert times(built) == [expected]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"offset": 3, "duration": -2}, "it lasts -2 s"),
        ({"offset": 3, "duration": 0}, "it lasts 0 s"),
        ({"offset": -1, "duration": 2}, "from -1 s to 1 s is no time span"),
        ({"offset": "x", "duration": 2}, "'x' is no number of seconds"),
        ({"offset": 1, "duration": [2]}, "'[2]' is no number of seconds"),
        ({"offset": 1, "duration": "inf"}, "'inf' is no number of seconds"),
        ({"offset": 25, "duration": None}, "all of the segment lies past it"),
        ({"offset": 15, "duration": 8.5}, "the file ends at 20.00 s: 3.50 s of the segment lies past it"),
    ],
)
def test_a_bad_segment_says_what_is_wrong_with_it(tmp_path: Path, given: dict[str, Any], why: str) -> None:
    tones(tmp_path / "c" / "a.wav", 20.0, LEFT_HZ)
    lines(tmp_path / "c" / "manifest.json", {"audio_filepath": "a.wav"} | given)
    [reject] = made(tmp_path / "c", "nemo").quarantine.itertuples()
    assert (reject.reason, why in reject.message) == ("bad_segment", True), reject.message
    assert "nan" not in reject.message


def test_unknown_times_of_other_layouts_are_rejected_by_name(tmp_path: Path) -> None:
    root = tmp_path / "giga"
    tones(root / "a.wav", 4.0, LEFT_HZ)
    spans = [(0.0, 1.0), (1.0, None), (math.nan, 2.0), (2.0, -1), (None, None)]
    segments = [{"sid": str(i), "begin_time": a, "end_time": b, "text_tn": "X"} for i, (a, b) in enumerate(spans)]
    lines(root / "GigaSpeech.json", {"audios": [{"path": "a.wav", "aid": "a", "segments": segments}]})
    built = made(root, "gigaspeech")
    assert times(built) == [(0.0, 1.0), (2.0, 4.0)]
    assert set(built.quarantine["reason"]) == {"bad_segment"}
    assert not built.quarantine["message"].str.contains("nan").any()
    assert built.quarantine["message"].str.contains("its end is not given|its start is not given").all()

    root = tmp_path / "vox"
    tones(root / "raw_audios" / "de" / "2018" / "s_de.ogg", 4.0, LEFT_HZ)
    (root / "asr_de.tsv").write_text(
        "session_id|id_|start_time|end_time|normed_text\ns|1|0.5|1.5|a\ns|2|1.5||b\ns|3|nan|2|c\n"
    )
    built = made(root, "voxpopuli")
    assert times(built) == [(0.5, 1.5)]
    assert sorted(built.quarantine["message"]) == [
        "asr_de.tsv line 3: its end is not given", "asr_de.tsv line 4: its start is not given",
    ]  # fmt: skip

    root = tmp_path / "kaldi"
    tones(root / "a.wav", 4.0, LEFT_HZ)
    tables(root, wav_scp="r a.wav\n", segments="x r 1 -1\ny r 1 nan\nz r 0.5 -3\n")
    built = made(root, "kaldi")
    assert times(built) == [(1.0, 4.0)]
    assert sorted(built.quarantine["message"]) == [
        "kaldi/segments, 'y': its end is not given", "kaldi/segments, 'z': from 0.5 s to -3 s is no time span",
    ]  # fmt: skip


def test_a_duration_is_a_segment_where_the_file_is_longer_than_tables_round() -> None:
    assert duration_slack_s([5.0]) == pytest.approx(1.1)
    assert duration_slack_s([5.0, 3.25]) == pytest.approx(0.11)
    assert duration_slack_s([1 / 3]) == pytest.approx(0.101)
    slack_s = duration_slack_s([5.0, 3.25])
    assert settled(5.1, None, 5.0, slack_s) == (None, None)  # as MP3 and Opus pad
    assert settled(4.0, None, 5.0, slack_s) == (None, None)
    assert settled(5.2, None, 5.0, slack_s) == (0.0, 5.0)
    assert settled(9.0, 1.0, 5.0, slack_s) == (1.0, 5.0)


def test_two_lines_about_one_piece_of_a_file_are_one_clip(tmp_path: Path) -> None:
    tones(tmp_path / "c" / "a.wav", 7.0, LEFT_HZ)
    about = [{"duration": 7.0}, {"duration": 7.01}, {"duration": 3.0}, {"offset": 0.0, "duration": 3.0}, {"offset": 0}]
    lines(tmp_path / "c" / "m.json", *({"audio_filepath": "a.wav"} | each for each in about))
    built = made(tmp_path / "c", "nemo")
    assert times(built) == [(0.0, 3.0), (0.0, 7.0)]
    assert set(built.quarantine["reason"]) == {"duplicate_id"}
    assert built.rows_used + len(built.quarantine) == 5


def test_a_cut_of_a_recording_that_was_described_as_too_short_is_what_it_says(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "a.wav", 20.0, LEFT_HZ)
    source = {"type": "file", "channels": [0], "source": str(root / "a.wav")}
    cut = {
        "type": "MonoCut", "start": 0, "channel": 0, "duration": 5.0,
        "recording": {"id": "a", "duration": 5.0, "sources": [source]},
    }  # fmt: skip
    whole = cut | {"id": "b", "duration": 20.0, "recording": cut["recording"] | {"duration": 20.0}}  # type: ignore[operator]
    lines(root / "cuts.jsonl", cut | {"id": "a"}, whole, cut | {"id": "c", "duration": None})
    built = made(root, "lhotse")
    assert times(built) == [(0.0, 5.0), (0.0, 20.0)]
    assert built.quarantine["message"].tolist() == ["cuts.jsonl line 3, 'c': its duration is not given"]


def test_what_lies_past_the_end_of_a_file_is_said(tmp_path: Path) -> None:
    root = tmp_path / "c"
    for name, seconds in (("a", 5.0), ("b", 2.0), ("d", 9.0)):
        tones(root / f"{name}.wav", seconds, LEFT_HZ)
    about = [
        {"audio_filepath": "a.wav", "offset": 1.0, "duration": 4.05}, {"audio_filepath": "b.wav", "duration": 3.5},
        {"audio_filepath": "d.wav", "duration": 2.25},
    ]  # fmt: skip
    lines(root / "m.json", *about)
    said = made(root, "nemo").remarks.sentences()
    assert [sentence.split(":")[0] for sentence in said] == [
        "1 segment(s) end after their recording, and are cut there",
        "1 recording(s) are shorter than the corpus says",
        "1 line(s) give a duration, no offset, and name a longer recording",
    ]
    for sentence, (amount, file) in zip(
        said, (("0.050 s", "a.wav"), ("1.50 s", "b.wav"), ("6.75 s", "d.wav")), strict=True
    ):
        assert amount in sentence
        assert file in sentence
