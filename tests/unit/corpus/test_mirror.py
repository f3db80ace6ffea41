"""A bucket as a folder: what may be a file of it, what is fetched when, what a kill, a change or a deletion does."""

import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from allears.corpus import fetching, mirror
from allears.corpus.fetching import PARTS, absent
from allears.corpus.mirror import Mirror, fetch, forget, reflect, sort_out
from allears.corpus.settings import remember
from allears.engine.mapping import PASSING
from allears.errors import ConfigError, CorpusError, PassingError, StorageError
from allears.params.base import Paths
from allears.storage import bucket
from allears.storage.bucket import Bucket, Object
from tests.unit.corpus import miniatures

PARTS_OF_KEYS = st.text(alphabet="aA.b/\\\n:~é\u0301ß", min_size=1, max_size=12)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    fs = fsspec.filesystem("memory")
    fs.pipe(
        {"/here/a.wav": b"sound" * 10, "/here/deep/b.wav": b"noise", "/here/table.csv": b"x,y\n", "/here/e.txt": b""}
    )
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def at(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "data" / "01_raw" / "mine" / mirror.FOLDER / "here", "memory://here")


def remembered(tmp_path: Path) -> Mirror:
    """As at, and the corpus knows it."""
    here = at(tmp_path)
    here.folder.parents[1].mkdir(parents=True, exist_ok=True)
    (here.folder.parents[1] / "corpus.json").write_text(
        '{"corpus": "mine", "sources": [{"name": "here", "path": "memory://here", "licence": "CC0-1.0"}]}'
    )
    return here


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = (file for file in folder.rglob("*") if file.is_file() and PARTS not in file.parts)
    return {file.relative_to(folder).as_posix(): (file.stat().st_size, file.stat().st_mtime_ns) for file in found}


def test_tables_are_fetched_at_once_and_recordings_when_wanted(tmp_path: Path, memory) -> None:
    here = remembered(tmp_path)
    assert reflect(here) == []
    before = listing(here.folder)
    assert {name: size for name, (size, _) in before.items()} == {
        "a.wav": 50, "deep/b.wav": 5, "table.csv": 4, "e.txt": 0,
    }  # fmt: skip
    assert (here.folder / "table.csv").read_bytes() == b"x,y\n"
    assert absent(here.folder / "a.wav")
    assert absent(here.folder / "deep" / "b.wav")
    problem = mirror.problem(here.folder / "a.wav")
    assert isinstance(problem, PassingError)
    assert problem.reason in PASSING, "the corpus is not taken for unchanged by the next run"
    fetch([here.folder / "a.wav", tmp_path / "elsewhere.wav"])
    assert (here.folder / "a.wav").read_bytes() == b"sound" * 10
    assert mirror.problem(here.folder / "a.wav") is None
    assert absent(here.folder / "deep" / "b.wav")
    assert listing(here.folder) == before, "size and time of a file are the same, fetched or not"


def test_what_is_unchanged_is_not_fetched_again_and_what_changed_is_absent(tmp_path: Path, memory) -> None:
    here = remembered(tmp_path)
    reflect(here)
    fetch([here.folder / "a.wav", here.folder / "deep" / "b.wav"])
    before = listing(here.folder)
    memory.pipe("/here/deep/b.wav", b"other")  # as long as before
    memory.rm("/here/table.csv")
    reflect(here)
    after = listing(here.folder)
    assert after["a.wav"] == before["a.wav"]
    assert not absent(here.folder / "a.wav")
    assert absent(here.folder / "deep" / "b.wav")
    assert after["deep/b.wav"] != before["deep/b.wav"]
    assert "table.csv" not in after
    fetch([here.folder / "deep" / "b.wav"])
    assert (here.folder / "deep" / "b.wav").read_bytes() == b"other"


def test_a_file_may_become_a_folder_and_a_folder_a_file(tmp_path: Path, memory) -> None:
    here = at(tmp_path)
    reflect(here)
    memory.rm("/here/deep", recursive=True)
    memory.rm("/here/a.wav")
    memory.pipe({"/here/deep": b"file", "/here/a.wav/c.txt": b"in a folder"})
    reflect(here)
    assert (here.folder / "deep").read_bytes() == b"file"
    assert (here.folder / "a.wav" / "c.txt").read_bytes() == b"in a folder"


def test_a_deleted_mirror_is_made_again(tmp_path: Path, memory) -> None:
    here = remembered(tmp_path)
    reflect(here)
    before = listing(here.folder)
    for file in sorted(here.folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    fetch([here.folder / "a.wav"])
    assert listing(here.folder) == before
    assert (here.folder / "a.wav").read_bytes() == b"sound" * 10
    assert absent(here.folder / "deep" / "b.wav")


def test_fetching_goes_on_where_it_was_cut(tmp_path: Path, memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "CHUNK_BYTES", 8)
    here = at(tmp_path)
    reflect(here)
    wanted = next(each for each in Bucket(here.url).objects() if each.key == "a.wav")
    (here.folder / PARTS / wanted.digest).write_bytes(b"sound" * 5)
    came: list[int] = []
    Bucket(here.url).fetch(wanted, here.folder / PARTS / wanted.digest, came.append)
    assert (here.folder / PARTS / wanted.digest).read_bytes() == b"sound" * 10
    assert came == [8, 8, 8, 1]


@pytest.mark.parametrize("now", [b"s" * 50, b"longer" * 20, b"short", None])
def test_an_object_that_changes_while_it_is_fetched_stays_absent(
    tmp_path: Path, memory, now: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "CHUNK_BYTES", 8)
    here = remembered(tmp_path)
    reflect(here)
    memory.rm("/here/a.wav")
    if now is not None:
        memory.pipe("/here/a.wav", now)
    fetch([here.folder / "a.wav"])
    assert absent(here.folder / "a.wav")
    assert not list((here.folder / PARTS).iterdir())


@pytest.mark.parametrize("now", [b"s" * 10, b"sound" * 10])
def test_a_range_beyond_the_end_is_a_change_and_another_fault_is_none(
    tmp_path: Path, memory, now: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 answers 416 InvalidRange, which s3fs raises as an OSError."""
    here = remembered(tmp_path)
    reflect(here)
    part = here.folder / PARTS / next(Bucket(here.url).objects()).digest
    part.write_bytes(b"sound" * 5)

    def refuse(*_: object, **__: object) -> bytes:
        raise OSError("the requested range is not satisfiable")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    if len(now) == 50:
        with pytest.raises(StorageError, match=r"a\.wav: .*what has come is kept"):
            fetch([here.folder / "a.wav"])
        assert part.read_bytes() == b"sound" * 5
    else:
        memory.pipe("/here/a.wav", now)
        fetch([here.folder / "a.wav"])
        assert not part.exists()
    assert absent(here.folder / "a.wav")


def test_a_fault_of_one_object_does_not_wait_for_others_to_be_whole(tmp_path: Path) -> None:
    under_way = threading.Barrier(2, timeout=10)
    ranges: list[int] = []

    class Two:
        url = "x://y"

        def fetch(self, wanted: Object, part: Path, told: Callable[[int], None]) -> None:
            under_way.wait()
            if wanted.key == "bad":
                raise StorageError("broken")
            for come in range(500):
                part.write_bytes(bytes(come))
                ranges.append(come)
                time.sleep(0.01)
                told(1)

    objects = [Object("long", 500, 1), Object("bad", 1, 1)]
    with pytest.raises(StorageError, match="broken"):
        fetching.fetch_all(Two(), objects, tmp_path)
    assert len(ranges) < 500
    assert (tmp_path / PARTS / objects[0].digest).exists()


def test_parts_of_contents_that_are_no_more_go(tmp_path: Path, memory) -> None:
    here = at(tmp_path)
    reflect(here)
    wanted = next(each for each in Bucket(here.url).objects() if each.key == "a.wav")
    (here.folder / PARTS / wanted.digest).write_bytes(b"sou")
    (here.folder / PARTS / "of-old").write_bytes(b"sou")
    reflect(here)
    assert [part.name for part in (here.folder / PARTS).iterdir()] == [wanted.digest]


def test_no_room_is_said_before_anything_is_fetched(tmp_path: Path, memory, monkeypatch: pytest.MonkeyPatch) -> None:
    here = remembered(tmp_path)
    reflect(here)
    usage = type("Usage", (), {"free": 40})()
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"1 objects of 0\.00 GB are to be fetched"):
        fetch([here.folder / "a.wav"])
    assert absent(here.folder / "a.wav")


def test_forget_deletes_recordings_tables_and_parts_of_the_mirror_alone(tmp_path: Path, memory) -> None:
    memory.pipe("/here/names.parquet", b"of people")
    here = remembered(tmp_path)
    reflect(here)
    fetch([here.folder / "a.wav", here.folder / "deep" / "b.wav"])
    (here.folder / PARTS / "x").write_bytes(b"some of it")
    assert (here.folder / "names.parquet").exists()
    mine = tmp_path / "mine.wav"
    mine.write_bytes(b"of a person")
    forget(Paths(corpus="mine", data=tmp_path / "data"), [here.folder / "a.wav", mine])
    assert list(listing(here.folder)) == ["deep/b.wav"]
    assert not list((here.folder / PARTS).iterdir())
    assert mine.exists()
    reflect(here)
    assert (here.folder / "names.parquet").read_bytes() == b"of people"
    assert not absent(here.folder / "deep" / "b.wav")


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_was_not_forgotten_can_be_fetched(tmp_path: Path, memory, by_hand: bool) -> None:
    here = remembered(tmp_path)
    reflect(here)
    forget(Paths(corpus="mine", data=tmp_path / "data"), [here.folder / "deep" / "b.wav"])
    if by_hand:
        (here.folder / PARTS).rmdir()
    fetch([here.folder / "a.wav"])
    assert (here.folder / "a.wav").read_bytes() == b"sound" * 10


def test_a_folder_of_somebody_in_place_of_a_mirror_is_left_as_it_is(tmp_path: Path, memory) -> None:
    here = remembered(tmp_path)
    big = tmp_path / "big"
    (big / "photos").mkdir(parents=True)
    (big / "photos" / "1.jpg").write_text("of a person")
    here.folder.parent.mkdir(parents=True)
    here.folder.symlink_to(big)
    with pytest.raises(StorageError, match=r"/here holds photos, but no \.parts.*Give an empty folder"):
        reflect(here)
    forget(Paths(corpus="mine", data=tmp_path / "data"), [here.folder / "a.wav"])
    assert sorted(big.rglob("*")) == [big / "photos", big / "photos" / "1.jpg"]
    (big / "photos" / "1.jpg").unlink()
    (big / "photos").rmdir()
    reflect(here)
    assert (big / "table.csv").read_bytes() == b"x,y\n"


@pytest.mark.parametrize("beside", ["", "{", '{"name": "their own"}', '{"corpus": "corpus", "sources": []}'])
def test_a_folder_called_mirror_is_a_folder(tmp_path: Path, beside: str) -> None:
    file = miniatures.tone(tmp_path / "mirror" / "corpus" / "a.wav")
    if beside:
        (tmp_path / "corpus.json").write_text(beside)
    file.chmod(0)
    assert mirror.problem(file) is None
    fetch([file])
    assert mirror.addresses()(file) == str(file)


def test_an_absent_file_holds_no_blocks_and_cannot_be_read(tmp_path: Path) -> None:
    fetching.lay_out(tmp_path, [Object("x/y.wav", 1 << 40, 1_500)])
    found = (tmp_path / "x" / "y.wav").stat()
    assert (found.st_size, found.st_mtime_ns, found.st_blocks) == (1 << 40, 1_500, 0)
    assert stat.S_IMODE(found.st_mode) == 0


def test_urls_are_told_apart_and_addresses_named(tmp_path: Path, memory) -> None:
    here = remembered(tmp_path)
    address = mirror.addresses()
    assert address(here.folder / "deep" / "b.wav") == "memory://here/deep/b.wav"
    assert address(tmp_path / "b.wav") == str(tmp_path / "b.wav")
    assert bucket.typed_path("s3://b/p/") == "s3://b/p"
    assert bucket.typed_path(f"file://{tmp_path}") == str(tmp_path)
    assert not bucket.is_url("C:/x")


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("memory://nothing", CorpusError, "does not exist or holds nothing"),
        ("memory://here/a.wav", StorageError, "is no folder"),
        ("sss3://b/p", ConfigError, "nothing here reads sss3://"),
        ("gs://b/p", StorageError, "pip install 'gcsfs'"),
        ("ftp://me:secret@host/p", ConfigError, "no password may stand in it"),
        ("ftp://me:secret@[host/p", ConfigError, "^ftp://…: Invalid IPv6 URL: check how"),
        ("s3://", ConfigError, "s3://: it names no bucket: give it as s3://bucket/folder"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_remembered(
    tmp_path: Path, memory, url: str, error: type[Exception], words: str
) -> None:
    paths = Paths(corpus="mine", data=tmp_path / "data")
    with pytest.raises(error, match=words) as caught:
        remember(paths, "mine", path=url, licence="CC0-1.0")
    assert "secret" not in str(caught.value)
    assert not paths.raw.exists(), "no trace of it"


def test_an_object_that_cannot_be_looked_at_is_said(tmp_path: Path, memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over HTTP, where a listing has no sizes, and may have links that lead nowhere."""

    def find(self: MemoryFileSystem, path: str, **_: object) -> dict[str, dict[str, str]]:
        return {f"{path}/a.wav": {"type": "file"}, f"{path}/gone.wav": {"type": "file"}}

    monkeypatch.setattr(MemoryFileSystem, "find", find)
    with pytest.raises(StorageError, match=r"^memory://here/gone\.wav: .*it lists what is not there"):
        reflect(at(tmp_path))
    assert not at(tmp_path).folder.exists()


def test_a_filesystem_gets_no_options_that_it_may_not_know(memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's sftp hands all it is given to the library below."""

    def strict(self: MemoryFileSystem) -> None:
        AbstractFileSystem.__init__(self)

    monkeypatch.setattr(MemoryFileSystem, "__init__", strict)
    MemoryFileSystem.clear_instance_cache()
    assert len(list(Bucket("memory://here").objects())) == 4


def test_a_bucket_without_recordings_is_named_by_its_url(tmp_path: Path, memory) -> None:
    memory.pipe("/texts/x.txt", b"no sound")
    with pytest.raises(CorpusError, match=r"^memory://texts holds no recordings"):
        remember(Paths(corpus="mine", data=tmp_path / "data"), "mine", path="memory://texts/", licence="CC0-1.0")


def test_tables_in_a_bucket_name_no_files_of_this_machine(tmp_path: Path) -> None:
    from allears.corpus.layouts.read import read_rows
    from allears.corpus.layouts.row import Reject

    root = miniatures.kaldi(tmp_path / "kaldi")
    other = miniatures.tone(tmp_path / "mine.wav")
    (root / "wav.scp").write_text(f"u1 {other}\nu2 audio/u2.wav\nu3 audio/u3.wav\nu4 audio/u4.wav\n")
    assert not [row for row in read_rows(root, "kaldi", None) if isinstance(row, Reject)]
    [refused] = [row for row in read_rows(root, "kaldi", None, anywhere=False) if isinstance(row, Reject)]
    assert refused.reason == "outside_root"


def test_keys_that_cannot_be_files_are_refused_with_why() -> None:
    keys = {
        "../x.wav": "leads out", "/x.wav": "not a path below", "a//b.wav": "empty", "a/./b.wav": "empty or a .",
        "n\nl.wav": "control", "dos\\x.wav": "not a path", "y" * 300 + ".wav": "too long", "c": "objects below it",
        "z" * 250 + "/" + "é" * 200: "too long", "http://x": "not a path",
    }  # fmt: skip
    good = ["b.wav", "c/d.wav", "é#?%41 .wav", "B.wav"]
    hidden, folders = [".git/x", "a/.DS_Store"], ["a/"]
    kept, refused = sort_out(
        [*(Object(key, 1, 0) for key in (*keys, *good, *hidden)), *(Object(key, 0, 0) for key in folders)],
        one_case=False,
    )
    assert [each.key for each in kept] == good
    assert [each.key for each in refused] == list(keys)
    for each in refused:
        assert keys[each.key] in each.why
    kept, refused = sort_out(
        [Object(key, 1, 0) for key in ("A/x", "a/y", "b.wav", "B.wav", "é", "e\u0301")], one_case=True
    )
    assert [each.key for each in kept] == ["A/x", "b.wav", "é"]
    assert "cannot tell it from A" in refused[0].why


@given(st.lists(PARTS_OF_KEYS, unique=True, max_size=12), st.booleans())
def test_whatever_the_keys_are_what_is_kept_can_be_laid_out_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], one_case: bool
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    kept, refused = sort_out([Object(key, 1, 0) for key in keys], one_case=one_case)
    fetching.lay_out(folder, kept)
    hidden = [key for key in keys if any(part.startswith(".") for part in key.split("/"))]
    assert listing(folder).keys() == {each.key for each in kept}
    left = set(keys) - {each.key for each in kept} - {each.key for each in refused}
    assert left <= set(hidden)
    if one_case:
        assert len({each.key.casefold() for each in kept}) == len(kept)
