"""A small model that was trained on nothing: what it says is noise, but it says it of the right clip."""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from allears.checkpoints.learned import NAME as LEARNED
from allears.checkpoints.learned import Learned
from allears.corpus.clips import ClipRef
from allears.downstream.build import build_task
from allears.downstream.export import save_task_model
from allears.downstream.text_judge import MOST_S, Judge, Transcribed, judge_batch, judge_texts, judgement, open_judge
from allears.errors import AudioError, ConfigError, StaleError, StorageError
from allears.params.task import ClassifyConfig, CTCConfig
from allears.shards.tar import to_pcm

RATE_HZ = 16_000
CONFIG = CTCConfig(alphabet=(" ", *"abcdefghijklmnopqrstuvwxyz"), head="linear")


def sound(seed: int, seconds: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(int(RATE_HZ * seconds))
    return (to_pcm((0.1 * noise).astype(np.float32)) / np.float32(32768)).astype(np.float32)


def pcm_sha256(audio_T: np.ndarray) -> str:
    return hashlib.sha256(to_pcm(audio_T).tobytes()).hexdigest()


def clips(folder: Path, seeds: Iterable[int], text: str = "hello there") -> list[Transcribed]:
    found = []
    for seed in seeds:
        path = folder / f"{seed}.wav"
        soundfile.write(path, sound(seed), RATE_HZ, subtype="PCM_16")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Transcribed(ClipRef(f"c{seed}", str(path), digest, None, 0.0, None), text))
    return found


@pytest.fixture
def folder(encoder, tmp_path: Path) -> Path:
    """A model that has learned the text of sound 0."""
    model = build_task(CONFIG, 16, encoder, seed=1)
    learned = Learned.of("zoo", ["c0"], [pcm_sha256(sound(0))], ["anna"])
    return save_task_model(tmp_path / "model", model, {}, learned=learned)


@pytest.fixture
def judge(folder: Path) -> Judge:
    return open_judge(folder)


def test_each_clip_gets_its_numbers_or_the_reason_why_not(judge: Judge) -> None:
    fine = judgement(judge, sound(1), "hello there")
    assert fine["why"] is None
    assert math.isfinite(fine["text_error"])
    assert abs(fine["text_ctc"]) < 2
    assert judgement(judge, sound(0), "hello there")["why"] == "trained_on"
    assert judgement(judge, sound(1), "привет")["why"] == "unknown_characters"
    assert judgement(judge, sound(1), "he is so naïve")["why"] is None
    assert judgement(judge, sound(1), "a" * 30)["why"] == "too_dense"  # 25 frames
    assert judgement(judge, sound(1, 0.005), "a")["why"] == "too_dense"
    assert judgement(judge, sound(1, MOST_S + 1), "a")["why"] == "too_long"


def test_padding_nor_neighbours_change_what_is_heard_of_a_clip(judge: Judge, tmp_path: Path) -> None:
    together = dict(judge_batch(clips(tmp_path, range(1, 4)), judge.folder))
    alone = [dict(judge_batch([item], judge.folder))[item] for item in together]
    assert list(together.values()) == alone


def test_what_is_in_the_journal_is_not_decoded_again_and_another_text_is(judge: Judge, tmp_path: Path) -> None:
    items, journal = clips(tmp_path, range(3)), tmp_path / "journal.jsonl"
    broken = tmp_path / "broken.wav"
    broken.write_text("no audio " * 99)
    items.append(Transcribed(ClipRef("c9", str(broken), "9" * 64, None, 0.0, None), "hello"))
    first = list(judge_texts(items, judge, journal, timeout_s=100.0, workers=1))
    assert [one.item for one in first] == items
    assert [one.result and one.result["why"] for one in first] == ["trained_on", None, None, None]
    assert [one.reason is None for one in first] == [True, True, True, False]
    (tmp_path / "1.wav").unlink()
    again = list(judge_texts(items, judge, journal, timeout_s=100.0, workers=1))
    assert not any(one.fresh for one in again)
    assert [one.result for one in again] == [one.result for one in first]
    other = items[2]._replace(text="goodbye")
    (changed,) = judge_texts([other], judge, journal, timeout_s=100.0, workers=1)
    assert changed.fresh
    assert changed.result != first[2].result


def test_another_model_is_another_judge(judge: Judge, encoder, tmp_path: Path) -> None:
    folder = save_task_model(tmp_path / "other", build_task(CONFIG, 16, encoder, seed=2), {}, learned=judge.learned)
    assert open_judge(folder).digest != judge.digest


def test_who_cannot_judge_is_told_so(folder: Path, encoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"text_model is .*nowhere', which is no folder.*task_model\.json"):
        open_judge(tmp_path / "nowhere")
    (folder / LEARNED).unlink()
    with pytest.raises(StaleError, match=r"no learned\.npz, so nobody can say.*nothing is trained"):
        open_judge(folder)
    kinds = ClassifyConfig(target="label", classes=("a", "b"))
    tells = save_task_model(tmp_path / "tells", build_task(kinds, 16, encoder), {})
    with pytest.raises(ConfigError, match="tells classes and writes no text"):
        open_judge(tells)
    (folder / "head.safetensors").unlink()
    with pytest.raises(StorageError, match="not a task model"):
        open_judge(folder)


def test_a_file_that_does_not_decode_is_an_outcome(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF")
    item = Transcribed(ClipRef("x", str(path), "0" * 64, None, 0.0, None), "hello")
    assert isinstance(dict(judge_batch([item], judge.folder))[item], AudioError)
    assert torch.get_num_threads() == 1
