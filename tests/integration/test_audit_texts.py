"""The audit with a model that holds texts against the audio: who is judged, what follows, and what it costs without."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.audit.policy import judge
from allears.checkpoints.learned import Learned
from allears.corpus.build import write_manifest
from allears.corpus.manifest import Manifest
from allears.downstream.build import build_task
from allears.downstream.export import save_task_model
from allears.errors import ConfigError
from allears.models.build import build_encoder
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.model import ConformerConfig
from allears.params.policy import Policies
from allears.params.task import CTCConfig
from allears.pipelines.audit.nodes import find_duplicates, measure_clips
from allears.shards.tar import to_pcm
from tests.audit_tables import manifest

RATE_HZ = 16_000
FATES = {
    "fine": "yes", "friend": "known_speaker", "taught": "trained_on", "renamed": "trained_on", "mute": "no_text",
    "long": "too_long", "cyrillic": "unknown_characters", "dense": "too_dense", "broken": "not_audio",
}  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Manifest, Paths, AuditParams]:
    """One clip of each fate, and a model that has learned two of them."""
    rng, rows, pcm = np.random.default_rng(0), [], {}
    for name in FATES:
        pcm_T = to_pcm((0.1 * rng.standard_normal(RATE_HZ * (31 if name == "long" else 1))).astype(np.float32))
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, pcm_T, RATE_HZ, subtype="PCM_16")
        if name == "broken":
            path.write_text("no audio " * 99)
        pcm[name] = hashlib.sha256(pcm_T.tobytes()).hexdigest()
        seconds = len(pcm_T) / RATE_HZ
        row: dict[str, Any] = {"clip": name, "root": str(tmp_path), "path": path.name, "text": "Hello, there!"}
        row |= {"end_s": seconds, "file_duration_s": seconds, "speaker": name}
        whole = path.read_bytes()
        rows.append(row | {"file_sha256": hashlib.sha256(whole).hexdigest(), "file_bytes": len(whole)})
    by_name = {row["clip"]: row for row in rows}
    by_name["mute"]["text"], by_name["cyrillic"]["text"], by_name["dense"]["text"] = None, "привет", "l" * 99
    by_name["friend"]["speaker"] = "taught"
    table = manifest(rows)
    config = CTCConfig(alphabet=(" ", *"abcdefghijklmnopqrstuvwxyz"))
    encoder = build_encoder(ConformerConfig(width=16, blocks=1, heads=2, ffn_width=32))
    group = table.set_index("clip")["group"]["taught"]
    learned = Learned.of("tiny", ["taught"], [pcm["taught"], pcm["renamed"]], [group])
    folder = save_task_model(tmp_path / "model", build_task(config, 16, encoder), {}, learned=learned)
    params = AuditParams.model_validate({"text_model": str(folder), "measures": {"workers": 1}})
    return write_manifest(table, tmp_path / "manifest"), Paths(corpus="tiny", data=tmp_path / "data"), params


def test_a_clip_is_judged_or_says_why_not(corpus: tuple[Manifest, Paths, AuditParams]) -> None:
    handle, paths, params = corpus
    measures = measure_clips(handle, params, paths)
    table = measures.set_index("clip")
    assert table["text_judged"].to_dict() == FATES
    judged = table.index[table["text_ctc"].notna()]
    assert list(judged) == list(table.index[table["text_error"].notna()]) == ["fine", "friend"]
    assert measure_clips(handle, params, paths).equals(measures), "from the journals"

    value = float(table["text_ctc"].min())
    rule = {"text_mismatch": {"measure": "text_ctc", "max": value, "of": "text"}}
    policies = Policies.model_validate({"standard": rule})
    found = find_duplicates(handle, measures, params, paths)
    verdicts = judge(handle.frame(), measures, found, params, policies.chosen("standard")).set_index("clip")
    flagged = verdicts.index[verdicts["reasons"] == "text_mismatch"]
    assert list(flagged) == [table["text_ctc"].idxmax()]


def test_without_a_model_nothing_is_known_and_no_torch_is_imported(
    corpus: tuple[Manifest, Paths, AuditParams], tmp_path: Path
) -> None:
    handle, paths, params = corpus
    program = (
        "import sys, json; from allears.corpus.manifest import Manifest; from allears.params.audit import AuditParams\n"
        "from allears.params.base import Paths; from allears.pipelines.audit.text_nodes import find_judge, fit_texts\n"
        f"handle, params = Manifest.from_json({handle.to_json()!r}), AuditParams()\n"
        f"table = fit_texts(handle, find_judge(params), params, Paths(corpus='tiny', data={str(tmp_path)!r}))\n"
        "assert 'torch' not in sys.modules\n"
        f"table.to_parquet({str(tmp_path / 'fit.parquet')!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    alone = pd.read_parquet(tmp_path / "fit.parquet")
    judged = measure_clips(handle, params, paths)[list(alone.columns)]
    assert alone["clip"].tolist() == judged["clip"].tolist()
    assert alone.drop(columns="clip").isna().to_numpy().all()


def test_a_model_that_is_not_there_ends_the_step_before_anything_is_decoded(
    corpus: tuple[Manifest, Paths, AuditParams],
) -> None:
    handle, paths, params = corpus
    with pytest.raises(ConfigError, match=r"audit\.text_model is 'nowhere'"):
        measure_clips(handle, params.model_copy(update={"text_model": "nowhere"}), paths)
    assert not (paths.primary / "measures.jsonl").exists()
