"""Transcripts held against their clips by a task model of characters, in worker processes, with a journal.

A clip is judged only by a model that was not fine-tuned on it: one that was says what it was taught.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from allears.audio.decode import DECODERS, Mono, mixed, resample
from allears.checkpoints.known import CONFIG, WEIGHTS
from allears.checkpoints.learned import NAME as LEARNED
from allears.checkpoints.learned import Learned, load_learned
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, decoded_clips, fetch_clips
from allears.downstream.ctc import CTC
from allears.downstream.export import HEAD, load_task_model
from allears.downstream.text_fit import contrast
from allears.engine.mapping import Outcome, map_batches
from allears.engine.worker import WORKER_BYTES
from allears.errors import AudioError, ConfigError, StaleError
from allears.evaluation.error_rates import character_errors
from allears.models.base import Encoder
from allears.shards.tar import to_pcm
from allears.storage.digest import file_digest, value_digest
from allears.text.characters import UNKNOWN
from allears.types import Padded

VERSION = 1
MOST_S = 30.0  # attention looks at all frames of a clip at once; models learn texts of shorter ones
WEIGHTS_HELD = 3  # times the weights' bytes while they are loaded: measured at 3.1 of 163 M and 3.0 of 290 M parameters
MOST_UNKNOWN = 0.1  # share of a text's characters outside of the model's alphabet; the others are judged


class Transcribed(NamedTuple):
    """A clip and its text, normalised and not empty."""

    ref: ClipRef
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A model that may judge texts: its folder, the digest of all its files that matter, what it has learned."""

    folder: Path
    digest: str
    learned: Learned
    model: CTC
    encoder: Encoder

    @property
    def sample_rate_hz(self) -> int:
        """What it hears."""
        return self.encoder.config.sample_rate_hz

    @torch.inference_mode()
    def hear(self, audio_T: Mono) -> tuple[str, Tensor]:
        """The text of the best path, and log-probabilities [F, V], of one clip by itself."""
        features = self.encoder.features(
            Padded(torch.from_numpy(audio_T)[None], torch.tensor([len(audio_T)]), full=True)
        )
        scores_BFV = self.model(features)
        frames_B = torch.tensor([self.encoder.config.frames(len(audio_T))])
        return self.model.read(scores_BFV, frames_B)[0], scores_BFV[0, : int(frames_B[0])]


def open_judge(folder: Path) -> Judge:
    """The judge in an export folder. Raises ConfigError or StaleError for a model that cannot be one, StorageError for
    a damaged one.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"audit.text_model is '{folder}', which is no folder; name the export of a model that was fine-tuned on "
            "characters (finetune.task=ctc): data/06_models/<corpus>/task_model.json says where it lies"
        )
    model, learned = load_task_model(folder), load_learned(folder)
    if not isinstance(model, CTC) or model.encoder is None:
        raise ConfigError(
            f"audit.text_model: the model in {folder} tells classes and writes no text; fine-tune one on characters "
            "(finetune.task=ctc)"
        )
    if learned is None:
        raise StaleError(
            f"audit.text_model: {folder} has no {LEARNED}, so nobody can say which texts it was fine-tuned on: an "
            "older version of allears wrote it. Delete the receipt.json of its run, in "
            "data/06_models/<corpus>/finetune/, and run `kedro run --pipeline finetune` again: the model is exported "
            "anew, and nothing is trained"
        )
    files = [file_digest(folder / name) for name in (CONFIG, WEIGHTS, HEAD, LEARNED)]
    return Judge(
        folder=folder.absolute(), digest=value_digest(files), learned=learned, model=model, encoder=model.encoder
    )


def judge_texts(
    items: Sequence[Transcribed], judge: Judge, journal: Path, *, timeout_s: float, workers: int | None
) -> Iterator[Outcome[Transcribed]]:
    """One outcome an item, in order: text_error, text_ctc (null where there is none) and `why` there is none.

    What is in the journal for this audio, text and model is not decoded again. A worker may allocate what the model
    takes on top of what one that decodes may.
    """
    return map_batches(
        partial(judge_batch, folder=judge.folder),
        items,
        key=partial(work_key, digest=judge.digest),
        journal=journal,
        title="holding texts against the audio",
        batches=_batches,
        workers=workers,
        timeout_s=timeout_s,
        worker_bytes=WORKER_BYTES + WEIGHTS_HELD * (judge.folder / WEIGHTS).stat().st_size,
        prepare=lambda waiting: fetch_clips([item.ref for item in waiting]),
    )


def work_key(item: Transcribed, digest: str) -> str:
    """What a text's judgement depends on: audio, text, model, the code's VERSION and the decoders."""
    audio = [item.ref.file_sha256, item.ref.channel, item.ref.start_s, item.ref.end_s]
    return value_digest([audio, item.text, digest, VERSION, DECODERS])[:32]


def judge_batch(
    items: Sequence[Transcribed], folder: Path
) -> Iterator[tuple[Transcribed, dict[str, Any] | AudioError]]:
    """In a worker: each clip of a batch with its judgement, or with why it cannot be decoded."""
    judge = _opened(folder)
    by_clip = {item.ref.clip: item for item in items}
    for ref, decoded in decoded_clips([item.ref for item in items]):
        item = by_clip[ref.clip]
        if isinstance(decoded, AudioError):
            yield item, decoded
        else:
            audio_TC, rate_hz = decoded
            yield item, judgement(judge, resample(mixed(audio_TC), rate_hz, judge.sample_rate_hz), item.text)


def judgement(judge: Judge, audio_T: Mono, text: str) -> dict[str, Any]:
    """text_error, text_ctc and why (null) of one clip at the model's rate; nulls and why when it is not judged."""
    target = [label for label in judge.model.tokenizer.encode(text) if label != UNKNOWN]
    if len(target) < (1 - MOST_UNKNOWN) * len(text):
        return _nothing("unknown_characters")
    if len(audio_T) > MOST_S * judge.sample_rate_hz:
        return _nothing("too_long")
    if judge.learned.has_audio(hashlib.sha256(to_pcm(audio_T).tobytes()).hexdigest()):
        return _nothing("trained_on")
    said, scores_FV = judge.hear(audio_T)
    fit = contrast(scores_FV, target)
    if math.isinf(fit):
        return _nothing("too_dense")
    errors, characters = character_errors(text, said)
    return {"text_error": round(errors / characters, 4), "text_ctc": round(fit, 4), "why": None}


def _batches(items: Sequence[Transcribed]) -> list[list[Transcribed]]:
    by_clip = {item.ref.clip: item for item in items}
    return [[by_clip[ref.clip] for ref in batch] for batch in batches([item.ref for item in items])]


def _nothing(why: str) -> dict[str, Any]:
    return {"text_error": None, "text_ctc": None, "why": why}


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Judge:
    """Once a worker."""
    torch.set_num_threads(1)
    return open_judge(folder)
