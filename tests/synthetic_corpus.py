"""A large manifest with its measures, made in a moment: for benchmarks of the audit's tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from allears.audit.derived import with_derived
from allears.audit.measuring import COLUMNS as MEASURE_COLUMNS
from allears.audit.measuring import NUMBERS, TEXTS
from allears.audit.texts import text_measures, without_model
from allears.corpus.manifest import COLUMNS
from tests.audit_tables import _CLIP, _MEASURE

LANGUAGES, ACCENTS, LABELS = 20, 40, 50


def synthetic_corpus(clips: int, speakers: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifest and measures: a fifth of the speakers do not tell their gender, accent or age, groups are as unequal as
    1/rank, every 20th clip is noisy, every 50th clipped, every 100th a copy of the one before.
    """
    rng = np.random.default_rng(seed)
    talks_C = rng.gamma(0.5, size=speakers)
    speaker_N = rng.choice(speakers, clips, p=talks_C / talks_C.sum())
    number = pd.Series(np.arange(clips))
    clip = number.astype("string").str.zfill(40)
    speaker = pd.Series(speaker_N).astype("string")
    manifest = pd.DataFrame(_CLIP, index=number)
    known = {
        "clip": clip, "path": clip + ".flac", "file_sha256": clip.str.zfill(64), "speaker": speaker,
        "group": "s/speaker/" + speaker, "end_s": rng.uniform(1, 15, clips),
        "language": _of_speaker(rng, speaker_N, speakers, [f"l{i}" for i in range(LANGUAGES)], told=1),
        "accent": _of_speaker(rng, speaker_N, speakers, [f"a{i}" for i in range(ACCENTS)]),
        "gender": _of_speaker(rng, speaker_N, speakers, ["male", "female", "other"]),
        "age": _of_speaker(rng, speaker_N, speakers, [str(age) for age in range(18, 80)]),
        "label": pd.Series(rng.choice([f"w{i}" for i in range(LABELS)], clips)).astype("string"),
        "split": _of_speaker(rng, speaker_N, speakers, ["train"] * 8 + ["dev", "test"], told=1),
    }  # fmt: skip
    manifest = manifest.assign(**known)[list(COLUMNS)].reset_index(drop=True)
    texts = ("member", "codec", "text", "session", "attributes", "licence", "split_origin", "source", "root", "split")
    manifest = manifest.astype(dict.fromkeys(texts, "string") | {"channel": "Int64", "file_duration_s": "float64"})
    pcm = number.where(number % 100 != 0, number - 1).astype("string").str.zfill(64)
    measures = pd.DataFrame(_MEASURE, index=number).assign(
        clip=clip, pcm_sha256=pcm, decoded_duration_s=manifest["end_s"], bandwidth_hz=rng.uniform(5_000, 8_000, clips),
        snr_db=np.where(number % 20 == 0, 5.0, rng.uniform(10, 50, clips)),
        clipped_share=np.where(number % 50 == 0, 0.1, 0.0), silence_share=rng.uniform(0, 0.5, clips),
    )  # fmt: skip
    measures = measures.reindex(columns=list(MEASURE_COLUMNS))
    measures = measures.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(("clip", *TEXTS), "string"))
    measures = with_derived(measures, manifest).merge(text_measures(manifest), on="clip", validate="1:1")
    return manifest, measures.merge(without_model(measures["clip"]), on="clip", validate="1:1")


def _of_speaker(
    rng: np.random.Generator, speaker_N: np.ndarray, speakers: int, names: list[str], told: float = 0.8
) -> pd.Series:
    weight = 1 / np.arange(1, len(names) + 1)
    value_of = pd.Series(rng.choice(names, speakers, p=weight / weight.sum())).astype("string")
    value_of = value_of.where(rng.random(speakers) < told)
    return value_of.take(speaker_N).reset_index(drop=True)
