"""Copies of shards in a bucket of a real S3 server: copied once, trained from, renewed, rid of what is withdrawn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from allears.checkpoints.steps import CHECKPOINTS
from allears.checkpoints.training_state import load_latest, weights_of
from allears.cli.app import app
from allears.errors import ConfigError, StaleError, StorageError
from allears.process.events import read_events
from allears.shards.copies import copy_shards, noted
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.shards.remote import CACHE, remote_of
from allears.training.pretrain import run as pretrain
from tests import stewardship as steward
from tests.buckets import Store, environment, serving
from tests.leftovers import leftovers
from tests.pretraining import make_spec, tiny
from tests.support import make_shards

BUCKET = "shards"


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with serving() as one, environment(one.environment):
        yield one


@pytest.fixture
def store(server: Store) -> Store:
    server.empty()
    server.client.create_bucket(Bucket=BUCKET)
    return server


@pytest.fixture
def shards(tmp_path: Path) -> tuple[ShardSet, Path]:
    return make_shards(tmp_path / "mine" / "shards", clips=60, shards=4)


def keys(store: Store) -> dict[str, bytes]:
    found = store.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {one["Key"]: store.client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found}


def test_a_copy_is_the_tars_and_the_index_and_is_made_once(store: Store, shards: tuple[ShardSet, Path]) -> None:
    shard_set, url = shards[0], f"s3://{BUCKET}/some/copy"
    home = shard_set.folder.parent
    assert copy_shards(home, shard_set, url).put == 5
    files = {f"some/copy/{path.name}": path.read_bytes() for path in shard_set.folder.glob("*.tar")}
    files["some/copy/index.parquet"] = shard_set.index_path.read_bytes()
    found = keys(store)
    assert json.loads(found.pop("some/copy/copy.json")) == {"corpus": "mine", "shards": shard_set.digest}
    assert found == files
    assert [one.shards for one in noted(home)] == [shard_set.digest]

    store.put, store.listed = [], 0
    assert copy_shards(home, shard_set, url).put == 0
    assert (store.put, store.listed) == ([], 1), "an unchanged copy is recognised by one listing"

    tar = min(files)
    store.client.put_object(Bucket=BUCKET, Key=tar, Body=files[tar][:-1] + b"x")  # as long, but somebody else's
    store.client.put_object(Bucket=BUCKET, Key="some/copy/left.tar", Body=b"of earlier shards")
    done = copy_shards(home, shard_set, url)
    assert (done.put, done.dropped) == (1, 1)
    assert keys(store)[tar] == files[tar]
    assert "some/copy/left.tar" not in keys(store)


def test_a_training_from_a_copy_is_the_training(store: Store, shards: tuple[ShardSet, Path], tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/copy"
    copy_shards(shards[0].folder.parent, shards[0], url)
    local, far = tiny(), tiny(shards_from=url, cache_gb=1.0, reader_threads=2)
    assert far.shards_from == (url,)
    pretrain(make_spec(shards, tmp_path / "local", local))
    for tar in shards[0].folder.glob("*.tar"):
        tar.rename(tar.with_suffix(".away"))
    store.got.clear()
    pretrain(make_spec(shards, tmp_path / "far", far))
    assert_equal(tmp_path / "local", tmp_path / "far")
    rows = [event["values"] for event in read_events(tmp_path / "far") if event["kind"] == "metrics"]
    assert max(row.get("copy_requests", 0) for row in rows) > 0
    assert max(row.get("copy_retries", 0) for row in rows) == 0

    store.got.clear()
    pretrain(make_spec(shards, tmp_path / "again", far))
    assert_equal(tmp_path / "local", tmp_path / "again")
    assert store.got == ["copy/copy.json"], "all else comes from the cache"
    with pytest.raises(StaleError, match="holds no copy"):
        pretrain(make_spec(shards, tmp_path / "wrong", tiny(shards_from=f"s3://{BUCKET}/nowhere")))


def assert_equal(one: Path, other: Path) -> None:
    ours, theirs = (load_latest(folder / CHECKPOINTS) for folder in (one, other))
    assert ours is not None
    assert theirs is not None
    for name, weights in weights_of(ours[1]).items():
        assert torch.equal(weights, weights_of(theirs[1])[name]), name


def test_a_killed_copy_is_not_read_and_is_finished(store: Store, tmp_path: Path) -> None:
    shard_set = make_shards(tmp_path / "mine" / "shards", clips=300, shards=60)[0]
    home, url = shard_set.folder.parent, f"s3://{BUCKET}/copy"
    code = (
        "import sys; from pathlib import Path; from allears.shards.copies import copy_shards; "
        "from allears.shards.handle import ShardSet; from allears.storage.files import read_json; "
        "copy_shards(Path(sys.argv[1]), ShardSet.from_json(read_json(Path(sys.argv[2]))), sys.argv[3])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(home), str(shard_set.folder / "shards.json"), url])
    deadline = time.monotonic() + 120
    while len(store.put) < 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert 1 < len(keys(store)) < 62
    with pytest.raises(StaleError, match="is being changed, or was left half copied"):
        remote_of((url,), shard_set, read_index(shard_set), 0.0)
    copy_shards(home, shard_set, url)
    assert len(keys(store)) == 62
    assert remote_of((url,), shard_set, read_index(shard_set), 0.0) is not None


def test_what_is_not_ours_is_left_alone_and_what_is_damaged_is_not_copied(
    store: Store, shards: tuple[ShardSet, Path]
) -> None:
    shard_set, home = shards[0], shards[0].folder.parent
    store.client.put_object(Bucket=BUCKET, Key="taken/thesis.pdf", Body=b"years of work")
    before = keys(store)
    with pytest.raises(ConfigError, match=r"holds files that are no copy of shards \(thesis.pdf"):
        copy_shards(home, shard_set, f"s3://{BUCKET}/taken")
    url = f"s3://{BUCKET}/copy"
    with pytest.raises(StorageError, match="there is no such bucket"):
        copy_shards(home, shard_set, "s3://nobodys/copy")
    tar = sorted(shard_set.folder.glob("*.tar"))[1]
    whole = tar.read_bytes()
    index = read_index(shard_set)
    offset = int(index.offset_N[index.places_of(1)[2]])
    tar.write_bytes(whole[: offset + 40] + b"?" + whole[offset + 41 :])
    with pytest.raises(StorageError, match=rf"{tar.name}, clip .*, offset {offset}.*a damaged tar is not copied"):
        copy_shards(home, shard_set, url)
    tar.write_bytes(whole)
    assert copy_shards(home, shard_set, url).put > 0
    other = make_shards(home.parent / "other" / "shards", clips=10)[0]
    with pytest.raises(ConfigError, match="holds the copy of corpus 'mine', not of 'other'"):
        copy_shards(other.folder.parent, other, url)
    assert before.items() <= keys(store).items()


def said(*arguments: str, code: int = 0) -> str:
    done: Result = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_what_is_withdrawn_leaves_the_copies_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One story: a copy that is reached is rid of it at once, one that is not is named until it is."""
    project = steward.make_steward_project(tmp_path / "project")
    monkeypatch.chdir(project)
    url, lost = f"s3://{BUCKET}/copy", f"s3://{BUCKET}/lost"
    for each in (url, lost):
        shown = said("shards", "copy", "mine", each)
        assert f"kedro run --pipeline pretrain --params corpus=mine,pretrain.shards_from={each}" in shown
    assert f"The copy at {url} is of these shards" in said("shards", "ls", "mine")
    speaker = str(steward.table(project, "05_model_input/mine/clips.parquet")["speaker"].iloc[0])
    needles = steward.needles_of(project, speaker)
    cache = project / "data/05_model_input/mine" / CACHE / "ab"
    cache.mkdir(parents=True)
    (cache / "clip").write_bytes(needles[-2])

    note = next(path for path in (project / "data").rglob("copies/*.json") if lost in path.read_text())
    note.write_text(note.read_text().replace(lost, "s3://gone/lost"))
    shown = said("withdraw", "mine", "--speaker", speaker, "--yes")
    assert f"The copy at {url} is of these shards" in shown
    assert "The copy at s3://gone/lost is of other shards, or half copied. It may hold what was withdrawn" in shown
    assert "allears shards copy mine s3://gone/lost" in shown
    assert leftovers(project / "data", needles, but=["withdrawn.jsonl"]) == []
    assert has(store, "lost/", needles)
    assert not has(store, "copy/", needles)
    index = steward.index_of(project)
    assert {key.removeprefix("copy/") for key in keys(store) if key.startswith("copy/")} == {
        *index.shards, "index.parquet", "copy.json",
    }  # fmt: skip

    note.write_text(note.read_text().replace("s3://gone/lost", lost))
    assert f"{lost} is of other shards" in said("shards", "ls", "mine")
    said("shards", "copy", "mine", lost)
    assert not has(store, "lost/", needles)
    for left in sorted(set(steward.table(project, "05_model_input/mine/clips.parquet")["speaker"])):
        if left != speaker:
            said("withdraw", "mine", "--speaker", left, "--yes")
    assert keys(store) == {}, "of a corpus without clips no copy is left"
    assert "has no shards" in said("shards", "copy", "mine", url, code=1)


def has(store: Store, prefix: str, needles: list[bytes]) -> bool:
    return any(needle in data for key, data in keys(store).items() if key.startswith(prefix) for needle in needles)
