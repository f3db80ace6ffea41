"""Channels that corpora name, and sessions of several speakers, from their tables to the manifest."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from allears.corpus.layouts.read import explain_columns
from tests.unit.corpus.named_spans import LEFT_HZ, RIGHT_HZ, heard_hz, lines, made, tables, tones

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
        assert not built.remarks.sentences()
        assert [json.loads(each)["channel"] for each in built.clips["attributes"].dropna()] == [
            str(each) for each in (one, two) if each is not None
        ]


def test_a_number_that_may_count_from_0_or_1_is_no_silent_mix(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "a.wav", 2.0, LEFT_HZ, RIGHT_HZ)
    tones(root / "b.wav", 2.0, LEFT_HZ)
    lines(root / "metadata.jsonl", *({"file_name": f"{name}.wav", "channel": 1, "text": name} for name in "ab"))
    built = made(root, "audiofolder")
    assert heard_hz(built) == {"a": None, "b": LEFT_HZ}
    [said] = built.remarks.sentences()
    assert "1 recording(s) have several channels, and all clips of the corpus name the same number" in said
    assert "(a.wav …)" in said
    assert not made(root, "audiofolder", channels="mix").remarks.sentences()


def test_nemo_selects_a_channel(tmp_path: Path) -> None:
    root = tmp_path / "c"
    tones(root / "call.wav", 2.0, LEFT_HZ, RIGHT_HZ)
    about: dict[str, object] = {"A1": 0, "B1": [1], "M1": "average"}  # NeMo's own; then as pandas and others write them
    about |= {"A2": "0", "B2": 1.0, "M2": math.nan, "M3": None, "X1": [0, 1], "X2": -1, "X3": "left"}
    lines(root / "m.json", *(
        {"audio_filepath": "call.wav", "offset": 0, "duration": 2.0 - 0.1 * n, "text": text, "channel_selector": each}
        for n, (text, each) in enumerate(about.items())
    ))  # fmt: skip
    built = made(root, "nemo")
    sides = {"A": LEFT_HZ, "B": RIGHT_HZ, "M": None}
    assert heard_hz(built) == {text: sides[text[0]] for text in about if text[0] != "X"}
    assert built.quarantine["reason"].tolist() == ["multi_channel"] * 3
    for number, word in enumerate(("[0, 1]", "-1", "left")):
        assert f"its channel_selector is {word}: give the number" in built.quarantine["message"][number]
    assert explain_columns(root, "nemo", None) == "no column is a label"


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
