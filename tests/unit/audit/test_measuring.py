from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from allears.audio.measures import MeasureSpec
from allears.audit.clip import measure_clips, work_key
from allears.audit.measuring import NUMBERS, measure_all
from allears.corpus.clips import ClipRef
from allears.corpus.manifest import clip_refs
from allears.errors import AudioError
from tests.audit_tables import manifest

SPEC = MeasureSpec(
        clip_level=0.99, silence_dbfs=-50.0, silence_below_loud_db=40.0, bandwidth_drop_db=50.0,
    speech_probability=0.5, speech_stride=1,
    )  # fmt: skip


def write(path: Path, seconds: float = 1.0, seed: int = 0, channels: int = 1) -> Path:
    audio = np.random.default_rng(seed).normal(0, 0.1, (int(16_000 * seconds), channels))
    soundfile.write(path, audio, 16_000, subtype="PCM_16")
    return path


def ref(path: Path, start_s: float = 0.0, end_s: float | None = None, channel: int | None = None) -> ClipRef:
    return ClipRef(path.stem, str(path), "0" * 64, channel, start_s, end_s)


def measured(clip: ClipRef) -> dict[str, Any]:
    [(_, found)] = measure_clips([clip], SPEC)
    if isinstance(found, AudioError):
        raise found
    return found


def test_whole_files_are_decoded_to_their_end_pieces_to_theirs() -> None:
    table = manifest([{}, {"end_s": 1.0}, {"start_s": 1.0}, {"channel": 1}, {"path": "/elsewhere/4.wav"}])
    whole, first, last, channel, absolute = clip_refs(table)
    assert (whole.end_s, first.end_s, last.end_s) == (None, 1.0, None)
    assert (whole.channel, channel.channel) == (None, 1)
    assert whole.file == "/r/0.wav"
    assert absolute.file == "/elsewhere/4.wav"  # as a wav.scp may have it


def test_the_same_samples_in_another_format_have_the_same_digest(tmp_path: Path) -> None:
    wav = write(tmp_path / "a.wav")
    audio, rate = soundfile.read(wav, dtype="int16")
    soundfile.write(tmp_path / "b.flac", audio, rate)
    soundfile.write(tmp_path / "c.flac", audio[:-1], rate)
    digests = [measured(ref(tmp_path / name))["pcm_sha256"] for name in ("a.wav", "b.flac", "c.flac")]
    assert digests[0] == digests[1] != digests[2]


def test_a_piece_and_a_channel_are_measured_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", seconds=2.0, channels=2)
    assert measured(ref(path, 0.5, 1.25))["decoded_duration_s"] == pytest.approx(0.75)
    left, right = (measured(ref(path, channel=c))["pcm_sha256"] for c in (0, 1))
    assert left != right


def test_the_key_names_all_that_the_measures_depend_on(tmp_path: Path) -> None:
    one = ref(tmp_path / "a.wav")
    keys = {
        work_key(one, SPEC), work_key(one._replace(start_s=0.5), SPEC), work_key(one._replace(channel=0), SPEC),
        work_key(one._replace(file_sha256="1" * 64), SPEC),
        work_key(one, replace(SPEC, clip_level=0.98)), work_key(one, replace(SPEC, silence_below_loud_db=30.0)),
    }  # fmt: skip
    assert len(keys) == 6
    assert work_key(one._replace(clip="b", file="elsewhere/a.wav"), SPEC) in keys  # where it lies does not matter


def test_text_named_wav_is_an_audio_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("this is no audio\n" * 50)
    with pytest.raises(AudioError):
        measured(ref(tmp_path / "a.wav"))


def test_measuring_again_decodes_nothing(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.wav", seed=number)
    (tmp_path / "3.wav").write_text("no audio")
    refs = [ref(tmp_path / f"{n}.wav")._replace(file_sha256=f"{n:064d}") for n in range(4)]
    journal = tmp_path / "out" / "measures.jsonl"
    first = measure_all(refs, SPEC, journal, timeout_s=60, workers=1)
    assert first["failed_reason"].notna().tolist() == [False, False, False, True]
    for number in range(4):
        (tmp_path / f"{number}.wav").unlink()
    again = measure_all(refs, SPEC, journal, timeout_s=60, workers=1)
    assert again.equals(first)


def test_channels_are_measured_where_they_are_mixed(tmp_path: Path) -> None:
    voice = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(tmp_path / "a.wav", np.stack((voice, -voice), axis=1), 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "b.wav", voice, 16_000, subtype="PCM_16")
    mix, left = measured(ref(tmp_path / "a.wav")), measured(ref(tmp_path / "a.wav", channel=0))
    assert mix["mix_loss_db"] > 60  # but for the rounding to 16 bits
    assert left["mix_loss_db"] is None
    assert left["pcm_sha256"] == measured(ref(tmp_path / "b.wav"))["pcm_sha256"]


def test_every_column_is_measured(tmp_path: Path) -> None:
    found = measured(ref(write(tmp_path / "a.wav", seconds=2.0, channels=2)))
    assert set(found) == set(NUMBERS) | {"pcm_sha256", "fingerprint"}
    assert {name for name in NUMBERS if found[name] is None} == {"pause_snr_db"}  # nobody speaks
