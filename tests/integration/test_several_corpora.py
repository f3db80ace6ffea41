"""`pretrain.corpora` as people type it: two corpora are ingested, one encoder hears both, and answers for both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from tests import stewardship as steward
from tests.leftovers import leftovers
from tests.long import only_long
from tests.project import environment, kedro, make_project

pytestmark = only_long
PREPARE = ("run", "--pipelines", "ingest,audit,shard", "--params")
PRETRAIN = ("run", "--env", "smoke", "--pipeline", "pretrain", "--params")
COMMON = "audit.measures.workers=1,pretrain.updates=4,pretrain.batch.seconds=2,pretrain.batch.crop_s=0.8"


def allears(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "allears", *arguments],
        cwd=project, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("several"))
    steward.make_corpus(project / "rec", clips=5)
    steward.make_corpus(project / "more", ("emil", "fina", "gita", "hugo"), clips=4)
    done = kedro(project, *PREPARE, "corpus=other,ingest.path=more,ingest.licence=CC-BY-4.0,audit.measures.workers=1")
    assert done.returncode == 0, done.stderr[-3000:]
    return project


def test_a_corpus_that_cannot_be_heard_is_said_before_anything_is_decoded(project: Path) -> None:
    mine = f"corpus=mine,ingest.path=rec,ingest.licence=CC0-1.0,{COMMON}"
    for asked, words in {
        "othre=0.3": "pretrain.corpora names 'othre', which has no shards; did you mean 'other'?",
        "mine=0.3": "pretrain.corpora names 'mine', the corpus itself",
        "other=1.5": "pretrain.corpora.other: expected less than 1, found 1.5",
    }.items():
        failed = kedro(project, *PRETRAIN, f"{mine},pretrain.corpora.{asked}")
        assert failed.returncode == 1
        assert words in " ".join(failed.stderr.split())
        assert "Traceback" not in failed.stderr
    assert not (project / "data/02_intermediate/mine/manifest.json").exists()


def test_one_encoder_of_two_corpora_answers_for_both(project: Path) -> None:
    """One story: each chapter needs the one before."""
    done = kedro(
        project,
        *PRETRAIN,
        f"corpus=mine,ingest.path=rec,ingest.licence=CC0-1.0,pretrain.corpora.other=0.3,{COMMON}",
        timeout_s=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Heard with it: Corpus other" in done.stderr
    assert "other: 30.0 % of the audio" in done.stdout
    handle = json.loads((project / "data/06_models/mine/encoder.json").read_text())
    clips = steward.table(project, "05_model_input/other/clips.parquet")
    train = clips[(clips["split"] == "train") & clips["keep"]]
    traced(project, str(train["clip"].iloc[0]), handle["run"])
    withdrawn(project, str(train["speaker"].iloc[0]), handle["run"])


def traced(project: Path, clip: str, run: str) -> None:
    found = json.loads(allears(project, "trace", clip, "--json").stdout)
    assert found["corpus"] == "other"
    trained = [(one["kind"], one["corpus"], Path(one["folder"]).name) for one in found["trained"]]
    assert trained == [("encoder", "mine", run)]


def withdrawn(project: Path, speaker: str, run: str) -> None:
    handle = json.loads((project / "data/05_model_input/other/shards.json").read_text())
    shards = ShardSet.from_json(handle | {"folder": project / handle["folder"]})
    index, rows = read_index(shards), pd.read_parquet(project / "data/05_model_input/other/clips.parquet")
    clips = list(rows.loc[rows["speaker"] == speaker, "clip"])
    needles = [f"{speaker}-take".encode(), *(index.pcm_sha256[index.position[clip]].encode() for clip in clips)]
    needles += [clip.encode() for clip in clips]
    labels = sorted((project / "data/04_feature/other/units").rglob("*.arrow"))
    assert any(clips[0].encode() in file.read_bytes() for file in labels)

    done = allears(project, "withdraw", "other", "--speaker", speaker, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run in done.stdout
    assert leftovers(project / "data", needles, but=["withdrawn.jsonl"]) == []
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (version,) = client.search_model_versions("name = 'allears-encoder-mine'")
    assert version.tags["allears.withdrawn"] == str(len(clips))
    used = client.get_run(version.run_id)
    assert used.data.tags["allears.withdrawn"] == str(len(clips))
    names = sorted(one.dataset.name for one in used.inputs.dataset_inputs)
    assert [re.sub(r"@\w{5}", "@", name) for name in names] == ["mine@", "mine@/shards", "other@/shards"]
