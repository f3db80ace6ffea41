import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allears.errors import AudioError
from allears.storage.containers import is_tar, read_members


def write_tar(path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in (("a/1.wav", b"one"), ("a/2.wav", b"two"), ("a/1.wav", b"another one")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz")])
def test_members_of_a_tar_in_its_order_the_first_of_a_name_and_no_links(tmp_path: Path, name: str, mode: str) -> None:
    path = write_tar(tmp_path / name, mode)
    assert is_tar(path.name)
    found = list(read_members(path, ["a/2.wav", "a/1.wav", "link.wav", "../gone"]))
    assert found[:2] == [("a/1.wav", b"one"), ("a/2.wav", b"two")]
    assert {(member, error.reason) for member, error in found[2:] if isinstance(error, AudioError)} == {
        ("link.wav", "missing_member"), ("../gone", "missing_member"),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz")])
def test_an_archive_that_breaks_off_says_so(tmp_path: Path, name: str, mode: str) -> None:
    whole = write_tar(tmp_path / name, mode).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2 if mode == "w:gz" else 1100])
    found = dict(read_members(tmp_path / name, ["a/1.wav", "a/2.wav"]))
    broken = [error for error in found.values() if isinstance(error, AudioError)]
    assert broken
    assert all(error.reason in ("missing_member", "truncated_member") for error in broken)
    assert "copy it again" in str(broken[0])


def test_rows_of_a_parquet_file(tmp_path: Path) -> None:
    rows = [{"audio": {"bytes": bytes([i]), "path": f"{i}.wav"}, "n": i} for i in range(5)]
    rows.append({"audio": {"bytes": None, "path": "6.wav"}, "n": 6})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=2)
    found = dict(read_members(tmp_path / "x.parquet", ["1:0", "0:1", "2:1", "9:9"]))
    assert {name: data for name, data in found.items() if isinstance(data, bytes)} == {"0:1": b"\1", "1:0": b"\2"}
    assert {name for name, data in found.items() if isinstance(data, AudioError)} == {"2:1", "9:9"}
