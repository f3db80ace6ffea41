"""A project with a small corpus whose clips can be told apart everywhere, taken through ingest, audit and shard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from allears.checkpoints.heard import Heard, save_heard
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.shards.sidecar import write_labels
from tests.project import kedro, make_project

RATE_HZ = 16_000
RUN = (
    "run",
    "--pipelines",
    "ingest,audit,shard",
    "--params",
    "corpus=mine,shard.min_shards=3,audit.measures.workers=1",
)
FIRST = (*RUN[:-1], RUN[-1] + ",ingest.path=rec,ingest.licence=CC0-1.0")
SPEAKERS = ("anna", "bela", "cleo", "dora")


def words(speaker: str, number: int) -> str:
    """A text that no other clip has, of the same length as all: rules go by characters a second."""
    return f"{speaker} reads {number * 37 + 11:03d}"


def make_corpus(folder: Path, speakers: tuple[str, ...] = SPEAKERS, clips: int = 3) -> Path:
    """An AudioFolder: 0.9 s of loud and soft a clip, with text and speaker."""
    folder.mkdir(parents=True, exist_ok=True)
    for speaker in speakers:
        for number in range(clips):
            write_clip(folder, speaker, number)
    write_table(folder)
    return folder


def write_clip(folder: Path, speaker: str, number: int, seed: int = 0) -> Path:
    random = np.random.default_rng([*speaker.encode(), number, seed])
    samples = RATE_HZ * 9 // 10  # rules on speech and noise need a second
    amplitude_T = random.gamma(0.4, size=samples)
    audio_T = random.choice((-0.05, 0.05), size=samples) * np.minimum(amplitude_T, 8.0)
    path = folder / f"{speaker}-take{number}.wav"
    soundfile.write(path, audio_T, RATE_HZ)
    return path


def write_table(folder: Path) -> None:
    """`metadata.csv` of the recordings that are there."""
    rows = [(path.name, *path.stem.split("-take")) for path in sorted(folder.glob("*.wav"))]
    lines = [f"{name},{words(speaker, int(number))},{speaker}" for name, speaker, number in rows]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,speaker", *lines]) + "\n")


def make_steward_project(folder: Path) -> Path:
    """The project after its first run, with an encoder that says it has heard the train clips, and their labels."""
    make_corpus(folder / "rec")
    project = make_project(folder)
    done = kedro(project, *FIRST)
    assert done.returncode == 0, done.stderr[-3000:]
    add_model(project)
    return project


def add_model(project: Path) -> None:
    """An export of a run on these shards, which heard their train clips, and a sidecar of labels."""
    data, index = project / "data", index_of(project)
    clips = table(project, "05_model_input/mine/clips.parquet")
    train = clips[clips["split"] == "train"]
    heard = Heard.of("mine", train["group"], (index.pcm_sha256[index.position[clip]] for clip in train["clip"]))
    folder = data / "06_models/mine/encoder/feedface0000"
    folder.mkdir(parents=True)
    save_heard(folder, heard)
    (folder / "model.safetensors").write_bytes(b"weights")
    spec = {"shard_set": json.loads((data / "05_model_input/mine/shards.json").read_text()), "targets": {}}
    for run in ("feedface0000", "0badcafe0000"):  # the second one left no export
        (data / "06_models/mine/runs" / run).mkdir(parents=True)
        (data / "06_models/mine/runs" / run / "spec.json").write_text(json.dumps(spec))
    labels = {clip: np.arange(5, dtype=np.int32) for clip in index.clips}
    for number, shard in enumerate(index.shards):
        mine = {clip: labels[clip] for clip in index.clips if index.shard_N[index.position[clip]] == number}
        write_labels(data / "04_feature/mine/units/0123", "digest", shard, mine, index)


def index_of(project: Path) -> Index:
    handle = json.loads((project / "data/05_model_input/mine/shards.json").read_text())
    return read_index(ShardSet.from_json(handle | {"folder": project / handle["folder"]}))


def table(project: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(project / "data" / name)


def manifest(project: Path) -> pd.DataFrame:
    folder = project / "data/02_intermediate/mine"
    handle: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return pd.concat([pd.read_parquet(folder / "manifest" / part) for part in handle["parts"]], ignore_index=True)


def tars(project: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted((project / "data/05_model_input/mine/shards").glob("*.tar"))
    }


def needles_of(project: Path, speaker: str) -> list[bytes]:
    """All by which a speaker's clips could be found: ids, paths, texts, digests, FLAC."""
    index = index_of(project)
    rows = manifest(project)
    rows = rows[rows["speaker"] == speaker]
    measured = table(project, "03_primary/mine/measures.parquet").set_index("clip")
    found = [f"mine/speaker/{speaker}".encode(), f"{speaker}-take".encode(), f"{speaker} reads".encode()]
    for clip in rows["clip"]:
        place = index.position[clip]
        tar = project / "data/05_model_input/mine/shards" / index.shards[int(index.shard_N[place])]
        begin = int(index.offset_N[place])
        found += [clip.encode(), index.pcm_sha256[place].encode(), index.sha256[place].encode()]
        found += [str(measured.loc[clip, "pcm_sha256"]).encode(), str(measured.loc[clip, "fingerprint"])[:64].encode()]
        found.append(tar.read_bytes()[begin : begin + int(index.length_N[place])][64:512])
    return found + [sha.encode() for sha in rows["file_sha256"]]
