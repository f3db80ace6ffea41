"""Corpora in a bucket of a real S3 server: the rows of the folder, each object fetched once, faults as sentences."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from allears.cli import withdrawal
from allears.cli.traced import trace_clip
from allears.corpus.fetching import absent
from allears.corpus.mirror import FOLDER
from allears.corpus.settings import remember
from allears.corpus.withdrawn import REASON as WITHDRAWN
from allears.errors import StorageError
from allears.params.base import Paths
from allears.params.ingest import IngestParams
from allears.pipelines.ingest import nodes
from allears.storage import bucket
from allears.storage.bucket import Bucket, Changed
from tests.buckets import KEYS, Store, environment, serving
from tests.faults import steps
from tests.project import ROOT, kedro, make_project, make_recordings
from tests.project import environment as of_kedro
from tests.unit.corpus.test_published import MINIATURES

BUCKET = "corpora"


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with serving() as one, environment(one.environment):
        yield one


@pytest.fixture
def store(server: Store) -> Store:
    server.empty()
    return server


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_project(tmp_path / "project"))
    return tmp_path / "project"


def put(store: Store, file: Path, key: str) -> None:
    store.client.upload_file(str(file), BUCKET, key)


def listed(place: str, data: Path, **params: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Listing, manifest and quarantine of a corpus, without where its root is."""
    paths, given = Paths(corpus="mine", data=data), IngestParams(workers=1, **params)
    settings = remember(paths, "mine", path=place, licence="CC0-1.0").model_dump(mode="json")
    listing = nodes.read_layouts(nodes.collect_sources(settings, paths), paths, given)
    headers = nodes.probe_files(listing, paths, given)
    manifest, quarantine = nodes.build_manifest(listing, headers, paths, given)
    return listing.drop(columns="root"), manifest.frame().drop(columns="root"), quarantine


def same(left: tuple[pd.DataFrame, ...], right: tuple[pd.DataFrame, ...]) -> None:
    for one, other in zip(left, right, strict=True):
        pd.testing.assert_frame_equal(one, other)


def below_itself(root: Path) -> None:
    """Make the paths in tables of NeMo and Lhotse relative, as a corpus that moves has them."""
    for table in root.glob("*.json*"):
        packed = table.name.endswith(".gz")
        data = gzip.decompress(table.read_bytes()) if packed else table.read_bytes()
        data = data.replace(f"{root}/".encode(), b"")
        table.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("layout", MINIATURES)
def test_a_layout_is_listed_from_a_bucket_as_from_a_folder(store: Store, tmp_path: Path, layout: Any) -> None:
    root = MINIATURES[layout](tmp_path / "corpus")
    below_itself(root)
    url = store.upload(root, BUCKET, "some/corpus")
    tables = []
    for place, data in ((str(root), tmp_path / "one"), (url, tmp_path / "two")):
        paths = Paths(corpus="mine", data=data)
        settings = remember(paths, "mine", path=place, licence="CC0-1.0").model_dump(mode="json")
        sources = nodes.collect_sources(settings, paths)
        assert sources[0]["layout"] == layout
        tables.append(nodes.read_layouts(sources, paths, IngestParams()).drop(columns="root"))
    pd.testing.assert_frame_equal(*tables)
    assert len(store.got) == len(set(store.got)), "nothing is fetched twice"


@pytest.mark.parametrize("layout", ["librispeech", "fleurs", "webdataset"])
def test_a_corpus_from_a_bucket_is_the_corpus(store: Store, tmp_path: Path, layout: Any) -> None:
    root = MINIATURES[layout](tmp_path / "corpus")
    url = store.upload(root, BUCKET, "some/corpus")
    first = listed(url, tmp_path / "bucket")
    same(first, listed(str(root), tmp_path / "folder"))
    assert sorted(store.got) == sorted(set(store.got))
    store.got.clear()
    store.listed = 0
    same(first, listed(url, tmp_path / "bucket"))
    assert (store.got, store.listed) == ([], 1), "an unchanged bucket is recognised by one listing"


def test_what_changed_came_or_went_is_a_new_version_and_nothing_else_is_fetched(store: Store, tmp_path: Path) -> None:
    root = make_recordings(tmp_path / "rec", speakers=2, clips=2)
    url = store.upload(root, BUCKET, "rec")
    _, before, _ = listed(url, tmp_path / "data")
    store.got.clear()
    (root / "speaker-0" / "0.wav").write_bytes(store_of_other(root))
    put(store, root / "speaker-0" / "0.wav", "rec/speaker-0/0.wav")  # other bytes, as many of them
    store.client.delete_object(Bucket=BUCKET, Key="rec/speaker-1/1.wav")
    put(store, root / "speaker-1" / "0.wav", "rec/speaker-1/new.wav")
    _, after, _ = listed(url, tmp_path / "data")
    assert sorted(store.got) == ["rec/speaker-0/0.wav", "rec/speaker-1/new.wav"]
    assert set(after["path"]) == {"speaker-0/0.wav", "speaker-0/1.wav", "speaker-1/0.wav", "speaker-1/new.wav"}
    changed = before.merge(after, on="clip").query("file_sha256_x != file_sha256_y")
    assert list(changed["path_x"]) == ["speaker-0/0.wav"]


def store_of_other(root: Path) -> bytes:
    """A recording as long as those in `root`, and no copy of one."""
    data = bytearray((root / "speaker-0" / "0.wav").read_bytes())
    data[-100:] = bytes(100)
    return bytes(data)


def test_a_first_look_fetches_what_it_looks_at(store: Store, tmp_path: Path) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=4, clips=3), BUCKET, "rec")
    _, manifest, _ = listed(url, tmp_path / "data", limit=2)
    assert sorted(store.got) == sorted("rec/" + manifest["path"])
    assert len(manifest) == 2


def test_keys_that_cannot_be_files_go_to_quarantine_and_are_not_fetched(store: Store, tmp_path: Path) -> None:
    root = make_recordings(tmp_path / "rec", speakers=2, clips=2)
    url = store.upload(root, BUCKET, "rec")
    bad = ("../../../out.wav", "/abs.wav", "a//b.wav", "speaker-0", "x" * 300 + ".wav")
    for key in bad:
        put(store, root / "speaker-0" / "0.wav", f"rec/{key}")
    _, manifest, quarantine = listed(url, tmp_path / "data", max_quarantine_share=0.9)
    assert len(manifest) == 4
    assert sorted(quarantine["path"]) == sorted(bad)
    assert set(quarantine["reason"]) == {"bad_key"}
    assert not set(store.got) & {f"rec/{key}" for key in bad}
    assert not list(tmp_path.glob("**/out.wav"))


def test_ingest_and_audit_are_those_of_the_folder_and_shards_fetch_what_they_need(
    store: Store, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_recordings(tmp_path / "rec", speakers=3, clips=2)
    url = store.upload(root, BUCKET, "rec")
    other = make_project(tmp_path / "other")
    made = steps.run(url, "ingest", "audit", "document")
    shutil.rmtree(project / "data" / "01_raw" / "mine" / FOLDER)  # a cache, that may go
    assert steps.run(url, "shard").load("shard_set")["clips"] == 6
    assert {store.got.count(key) for key in store.got} == {2}, "once, and once more for what was deleted"
    reports = project / "data" / "08_reporting" / "mine"
    pages = [page.read_text() for ending in ("html", "json", "md") for page in reports.glob(f"*.{ending}")]
    assert any(url in page for page in pages)
    assert not any(str(project) in page for page in pages)
    monkeypatch.chdir(other)
    local = steps.run(root, "ingest", "audit")
    for name in ("measures", "verdicts", "selection", "duplicates"):
        pd.testing.assert_frame_equal(made.load(name), local.load(name))
    assert made.load("manifest").digest == local.load("manifest").digest


def test_what_is_withdrawn_leaves_the_mirror_and_is_not_fetched_again(
    store: Store, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=2, clips=2), BUCKET, "rec")
    manifest = steps.run(url, "ingest").load("manifest").frame()
    paths = Paths(corpus="mine")
    clip = str(manifest["clip"][0])
    key = f"{url}/{manifest['path'][0]}"
    assert trace_clip(paths, clip)["source"] | {"state": "as noted", "file": key} == trace_clip(paths, clip)["source"]
    found = withdrawal.prepare(paths, "file", key, None, "asked")
    assert found.clips == (clip,)
    withdrawal.begin(paths, found)
    withdrawal.finish(paths)
    here = project / "data" / "01_raw" / "mine" / FOLDER / "rec"
    assert not (here / manifest["path"][0]).exists()
    from allears.cli.told import show_done

    show_done(found)
    assert key in capsys.readouterr().out
    store.got.clear()
    again = steps.run(url, "ingest")
    assert store.got == []
    assert clip not in set(again.load("manifest").frame()["clip"])
    assert list(again.load("quarantine")["reason"]) == [WITHDRAWN]
    assert absent(here / manifest["path"][0])


def test_what_is_looked_up_twice_is_not_what_was_listed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3fs keeps listings; an object that changed between two ranges would be of two contents."""
    url = store.upload(make_recordings(tmp_path / "rec", speakers=1, clips=1), BUCKET, "rec")
    (wanted,) = Bucket(url).objects()
    monkeypatch.setattr(bucket, "CHUNK_BYTES", wanted.size // 2)
    store.client.put_object(Bucket=BUCKET, Key=f"rec/{wanted.key}", Body=bytes(wanted.size))
    with pytest.raises(Changed):
        Bucket(url).fetch(wanted, tmp_path / "part", lambda _: None)


def test_an_object_that_shrank_below_what_has_come_is_a_change(store: Store, tmp_path: Path) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=1, clips=1), BUCKET, "rec")
    (wanted,) = Bucket(url).objects()
    (tmp_path / "part").write_bytes(bytes(100))
    store.client.put_object(Bucket=BUCKET, Key=f"rec/{wanted.key}", Body=b"short")
    with pytest.raises(Changed):
        Bucket(url).fetch(wanted, tmp_path / "part", lambda _: None)
    assert not (tmp_path / "part").exists()


def test_a_kill_costs_what_was_under_way(store: Store, project: Path, tmp_path: Path) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=8, clips=8), BUCKET, "rec")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.steps", url, "ingest"], cwd=project, env=of_kedro(PYTHONPATH=str(ROOT)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def kill(at: Store) -> None:
        if len(at.got) == 30:
            os.killpg(process.pid, signal.SIGKILL)

    store.then = kill
    process.wait(timeout=120)
    assert process.returncode == -signal.SIGKILL
    store.then = None
    _, manifest, _ = listed(url, project / "data")
    assert len(manifest) == 64
    assert set(store.got) == set("rec/" + manifest["path"])
    assert len(store.got) - 64 <= 16, "at most what was under way is fetched twice"
    same((manifest,), listed(str(tmp_path / "rec"), tmp_path / "folder")[1:2])


def test_a_store_that_fails_on_the_way_ends_the_run_and_keeps_what_has_come(store: Store, tmp_path: Path) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=8, clips=4), BUCKET, "rec")
    store.breaks_at = 12
    with pytest.raises(StorageError, match=f"^{url}/speaker-.*what has come is kept"):
        listed(url, tmp_path / "data")
    store.breaks_at = None
    assert len(listed(url, tmp_path / "data")[1]) == 32
    assert len(store.got) == 32


def test_faults_are_sentences(store: Store, project: Path, tmp_path: Path) -> None:
    url = store.upload(make_recordings(tmp_path / "rec", speakers=2, clips=1), BUCKET, "rec")
    paths = Paths(corpus="mine", data=tmp_path / "data")
    told = {"corpus": "mine", "licence": "CC0-1.0"}
    with pytest.raises(StorageError, match="there is no such bucket"):
        remember(paths, path="s3://nobodys/rec", **told)
    nowhere = store.environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with environment(nowhere), pytest.raises(StorageError, match="cannot be reached, or the connection was lost"):
        remember(paths, path=url, **told)
    params = f"corpus=mine,ingest.path={url},ingest.licence=CC0-1.0"
    without = dict.fromkeys(KEYS, "") | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    done = kedro(project, "run", "--pipeline", "ingest", "--params", params, **without)
    assert done.returncode == 1
    assert "no valid credentials were found: set them in the environment" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
