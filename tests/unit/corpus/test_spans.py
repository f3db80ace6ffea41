"""Segments, durations, channels and sessions that corpora name, from their tables to the manifest."""

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.audio.decode import decode
from allears.corpus.build import Built, build
from allears.corpus.listing import Source, read_listing, recordings_of
from allears.corpus.probe import probe_files
from allears.corpus.segment import duration_slack_s, settled
from allears.params.ingest import IngestParams

RATE_HZ = 8_000
LEFT_HZ, RIGHT_HZ = 500.0, 1_500.0


def tones(path: Path, seconds: float, *hz: float) -> None:
    """A recording with a tone in each channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_T = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    audio_TC = np.stack([0.3 * np.sin(2 * np.pi * each * time_T) for each in hz], axis=1)
    soundfile.write(path, audio_TC, RATE_HZ)


def lines(path: Path, *records: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def tables(root: Path, **contents: str) -> None:
    for name, content in contents.items():
        (root / name.replace("wav_scp", "wav.scp")).write_text(content)


def made(root: Path, layout: str, **params: Any) -> Built:
    source = Source(name="s", root=root, layout=layout, why="", licence="CC0-1.0", label=None)  # type: ignore[arg-type]
    listing = read_listing([source], None)
    usable = recordings_of(listing[listing["reason"].isna()])
    return build(listing, probe_files(usable, root.parent / "probe.jsonl", workers=1), IngestParams(**params))


def times(built: Built) -> list[tuple[float, float]]:
    return sorted(built.clips[["start_s", "end_s"]].itertuples(index=False, name=None))


def heard_hz(built: Built) -> dict[str, float | None]:
    """Text of each clip and the strongest frequency of its audio, None where both tones are in it."""
    found: dict[str, float | None] = {}
    for clip in built.clips.itertuples():
        channel = None if pd.isna(clip.channel) else int(clip.channel)
        audio_T, rate_hz = decode(Path(clip.root) / clip.path, clip.start_s, clip.end_s, channel)
        spectrum_F = np.abs(np.fft.rfft(audio_T))
        levels = [spectrum_F[round(hz * len(audio_T) / rate_hz)] for hz in (LEFT_HZ, RIGHT_HZ)]
        one = max(levels) > 10 * min(levels)
        found[clip.text] = (LEFT_HZ, RIGHT_HZ)[int(np.argmax(levels))] if one else None
    return found


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


CALL = "a1 call {0} 0 3 {1}\nb1 call {0} 2 5 {2}\na2 call {0} 4 6 {1}\n"


def call(root: Path, *, channels: tuple[float, ...] = (LEFT_HZ, RIGHT_HZ)) -> None:
    """A call of two speakers who talk at once, the first on the left."""
    tones(root / "call.wav", 6.0, *channels)
    tables(
        root, wav_scp="call call.wav\n", text="a1 A1\nb1 B1\na2 A2\n", utt2spk="a1 ann\na2 ann\nb1 ben\n",
        segments="a1 call 0 3\nb1 call 2 5\na2 call 4 6\n",
    )  # fmt: skip


SIDES = {"A1": LEFT_HZ, "A2": LEFT_HZ, "B1": RIGHT_HZ}


@pytest.mark.parametrize(("left", "right"), [("0", "1"), ("A", "B")])
def test_the_fifth_column_of_segments_is_the_channel(tmp_path: Path, left: str, right: str) -> None:
    call(tmp_path / "c")
    tables(
        tmp_path / "c", segments=f"a1 call 0 3 {left}\nb1 call 2 5 {right}\na2 call 4 6 {left}\n",
        reco2file_and_channel="call call A\n",
    )  # fmt: skip
    built = made(tmp_path / "c", "kaldi")
    assert heard_hz(built) == SIDES
    assert set(built.clips["channel"]) == {0, 1}


@pytest.mark.parametrize("names", [("A", "B"), ("1", "2")])
@pytest.mark.parametrize("segmented", [True, False])
def test_reco2file_and_channel_names_the_side(tmp_path: Path, names: tuple[str, str], *, segmented: bool) -> None:
    root = tmp_path / "c"
    tones(root / "call.wav", 6.0, LEFT_HZ, RIGHT_HZ)
    tables(
        root, wav_scp="call-A call.wav\ncall-B call.wav\n",
        reco2file_and_channel=f"call-A call {names[0]}\ncall-B call {names[1]}\n",
    )  # fmt: skip
    if segmented:
        tables(root, segments="a1 call-A 0 3\nb1 call-B 2 5\na2 call-A 4 6\n")
        tables(root, text="a1 A1\nb1 B1\na2 A2\n", utt2spk="a1 ann\na2 ann\nb1 ben\n")
    else:
        tables(root, text="call-A A1\ncall-B B1\n", utt2spk="call-A ann\ncall-B ben\n")
    built = made(root, "kaldi")
    assert heard_hz(built) == (SIDES if segmented else {"A1": LEFT_HZ, "B1": RIGHT_HZ})
    assert set(built.clips["session"]) == {"call"}


def test_a_side_that_is_a_file_of_its_own_is_all_of_it(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "a.wav", 2.0, LEFT_HZ)
    tones(root / "b.wav", 2.0, RIGHT_HZ)
    tables(
        root, wav_scp="call-A a.wav\ncall-B b.wav\n", reco2file_and_channel="call-A call A\ncall-B call B\n",
        text="call-A A1\ncall-B B1\n",
    )  # fmt: skip
    built = made(root, "kaldi")
    assert built.quarantine.empty
    assert heard_hz(built) == {"A1": LEFT_HZ, "B1": RIGHT_HZ}
    assert built.clips["channel"].isna().all()


def test_channels_counted_from_one_are_no_silent_swap(tmp_path: Path) -> None:
    call(tmp_path / "c")
    tables(tmp_path / "c", segments="a1 call 0 3 1\nb1 call 2 5 2\na2 call 4 6 1\n")
    built = made(tmp_path / "c", "kaldi")
    assert built.clips.empty
    assert set(built.quarantine["reason"]) == {"no_such_channel"}
    assert built.quarantine["message"].str.contains("call.wav: it has no channel 2: it has 2, counted from 0").all()


def test_speakers_who_talk_at_once_need_a_channel_where_there_are_several(tmp_path: Path) -> None:
    call(tmp_path / "c")
    built = made(tmp_path / "c", "kaldi")
    assert built.clips.empty
    assert set(built.quarantine["reason"]) == {"channel_unknown"}
    for part in ("call.wav: it has 2 channels", "(one from 0 s, another from 2 s)", "ingest.channels=split"):
        assert built.quarantine["message"].str.contains(part, regex=False).all()
    assert heard_hz(made(tmp_path / "c", "kaldi", channels="mix")) == dict.fromkeys(SIDES)
    assert len(made(tmp_path / "c", "kaldi", channels="split").clips) == 6


def test_what_is_no_conversation_on_several_channels_is_mixed_as_ever(tmp_path: Path) -> None:
    call(tmp_path / "mono", channels=(LEFT_HZ,))
    assert len(made(tmp_path / "mono", "kaldi").clips) == 3
    root = tmp_path / "one"
    call(root)
    tables(root, utt2spk="a1 ann\na2 ann\nb1 ann\n")
    built = made(root, "kaldi")
    assert heard_hz(built) == dict.fromkeys(SIDES)
    assert not built.remarks.sentences()
    root = tmp_path / "turns"
    call(root)
    tables(root, segments="a1 call 0 2.05\nb1 call 2 4\na2 call 4 6\n")
    built = made(root, "kaldi")
    assert heard_hz(built) == dict.fromkeys(SIDES)
    assert "no channel is named: the channels are mixed (call.wav" in built.remarks.sentences()[0]
    root = tmp_path / "unknown"
    call(root)
    (root / "utt2spk").unlink()
    built = made(root, "kaldi")
    assert heard_hz(built) == dict.fromkeys(SIDES)
    assert "no channel is named: the channels are mixed (call.wav" in built.remarks.sentences()[0]


@pytest.mark.parametrize(
    "names", [(0, 1), (1, 2), ("1", "2"), ("left", "right"), ("L", "R"), ("ch0", "ch1"), (1.0, 2.0)]
)
def test_a_column_called_channel_names_the_side(tmp_path: Path, names: tuple[Any, Any]) -> None:
    root = tmp_path / "c"
    tones(root / "call.wav", 2.0, LEFT_HZ, RIGHT_HZ)
    rows = [{"channel": name, "text": text} for name, text in zip(names, ("A1", "B1"), strict=True)]
    lines(root / "metadata.jsonl", *({"file_name": "call.wav"} | row for row in rows))
    assert heard_hz(made(root, "audiofolder")) == {"A1": LEFT_HZ, "B1": RIGHT_HZ}
    lines(root / "m.json", *({"audio_filepath": "call.wav"} | row for row in rows))
    assert heard_hz(made(root, "nemo")) == {"A1": LEFT_HZ, "B1": RIGHT_HZ}


def test_a_column_that_counts_channels_or_names_a_broadcaster_names_no_side(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "one.wav", 2.0, LEFT_HZ)
    tones(root / "two.wav", 2.0, LEFT_HZ, RIGHT_HZ)
    for one, two in ((1, 2), ("news", "sport"), (None, 2)):
        about = {"one.wav": one, "two.wav": two}
        lines(root / "metadata.jsonl", *({"file_name": name, "channel": each} for name, each in about.items()))
        built = made(root, "audiofolder")
        assert built.quarantine.empty
        assert built.clips["channel"].isna().all()
        assert [json.loads(each)["channel"] for each in built.clips["attributes"].dropna()] == [
            str(each) for each in (one, two) if each is not None
        ]


def test_nemo_selects_a_channel(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "call.wav", 2.0, LEFT_HZ, RIGHT_HZ)
    about = {"A1": 0, "B1": [1], "M1": "average", "X": [0, 1]}
    lines(root / "m.json", *(
        {"audio_filepath": "call.wav", "offset": 0, "duration": 2.0, "text": text, "channel_selector": each}
        for text, each in about.items()
    ))  # fmt: skip
    built = made(root, "nemo")
    assert heard_hz(built) == {"A1": LEFT_HZ, "B1": RIGHT_HZ, "M1": None}
    assert built.quarantine["reason"].tolist() == ["multi_channel"]


def test_lhotse_names_a_channel_also_in_a_list(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "call.wav", 6.0, LEFT_HZ, RIGHT_HZ)
    source = {"type": "file", "channels": [0, 1], "source": str(root / "call.wav")}
    named = (("A1", "MonoCut", 0, 0), ("B1", "MultiCut", [1], 2), ("B2", "MonoCut", [1], 3))
    cuts = [
        {
            "id": text, "type": kind, "channel": channel, "start": start, "duration": 3.0,
            "recording": {"id": "r", "duration": 6.0, "sources": [source]},
            "supervisions": [{"text": text, "speaker": text, "start": 0, "duration": 3.0}],
        }
        for text, kind, channel, start in named
    ]  # fmt: skip
    lines(root / "cuts.jsonl", *cuts)
    built = made(root, "lhotse")
    assert heard_hz(built) == {"A1": LEFT_HZ, "B1": RIGHT_HZ, "B2": RIGHT_HZ}
    assert set(built.clips["session"]) == {"call.wav"}


def meeting_cuts(root: Path, meetings: int, speakers: int) -> None:
    """Meetings whose speakers' turns overlap."""
    cuts = []
    for meeting in range(meetings):
        file = root / f"m{meeting}.wav"
        tones(file, 2.0 + speakers, LEFT_HZ)
        source = {"type": "file", "channels": [0], "source": str(file)}
        recording = {"id": f"m{meeting}", "duration": 2.0 + speakers, "sources": [source]}
        cuts += [
            {
                "id": f"m{meeting}-{turn}", "type": "MonoCut", "channel": 0, "start": turn * 0.9, "duration": 1.5,
                "recording": recording, "supervisions": [{"speaker": f"{meeting}-{turn}", "text": "x"}],
            }
            for turn in range(speakers)
        ]  # fmt: skip
    lines(root / "cuts.jsonl", *cuts)


def test_a_file_with_several_speakers_is_a_session_and_in_one_split(tmp_path: Path) -> None:
    meeting_cuts(tmp_path / "c", meetings=3, speakers=4)
    table = made(tmp_path / "c", "lhotse").clips
    assert table["path"].eq(table["session"]).all()
    assert table.groupby("path")["split"].nunique().eq(1).all()
    assert set(table["split"]) == {"train", "dev", "test"}
    for _, rows in table.groupby("path"):
        spans = sorted(zip(rows["start_s"], rows["end_s"], strict=True))
        assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))  # they do share audio


def test_a_corpus_in_one_file_is_carved_by_speaker_and_a_file_of_one_speaker_is_no_session(tmp_path: Path) -> None:
    meeting_cuts(tmp_path / "one", meetings=1, speakers=10)
    table = made(tmp_path / "one", "lhotse").clips
    assert set(table["session"]) == {"m0.wav"}
    assert set(table["split"]) == {"train", "dev", "test"}
    meeting_cuts(tmp_path / "each", meetings=4, speakers=1)
    assert made(tmp_path / "each", "lhotse").clips["session"].isna().all()


def test_clips_without_a_speaker_stay_with_the_others_of_their_file(tmp_path: Path) -> None:
    root = tmp_path / "c"
    for i in range(12):
        tones(root / f"{i}.wav", 3.0, LEFT_HZ)
    lines(root / "m.json", *(
        {"audio_filepath": f"{i}.wav", "offset": turn, "duration": 1.0} | ({"speaker": f"s{i}"} if turn else {})
        for i in range(12) for turn in range(2)
    ))  # fmt: skip
    table = made(root, "nemo").clips
    assert table["group"].nunique() == 24
    assert table.groupby("path")["split"].nunique().eq(1).all()
