"""The sample's build is killed half-way: the next command makes only what is missing, and the bytes are the same."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allears.corpus.sample.build import build_sample
from allears.errors import StorageError
from allears.params.ingest import SampleParams
from allears.storage.digest import file_digest
from tests.long import only_long

SMALL = SampleParams(speakers=12, minutes=2.0)
SCRIPT = """
import sys
from pathlib import Path
from allears.corpus.sample.build import build_sample
from allears.params.ingest import SampleParams
if __name__ == "__main__":
    build_sample(Path(sys.argv[1]), SampleParams(speakers=12, minutes=2.0), workers=1)
"""


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@only_long
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "build.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(tmp_path / "build.py"), str(tmp_path / "killed")])
    deadline = time.monotonic() + 60
    while not any(len(log.read_bytes().splitlines()) >= 3 for log in tmp_path.glob("killed/audio.building/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "audio").exists()
    assert build_sample(tmp_path / "killed", SMALL)
    assert build_sample(tmp_path / "whole", SMALL)
    assert digests(tmp_path / "killed" / "audio") == digests(tmp_path / "whole" / "audio")
    assert digests(tmp_path / "killed").keys() - digests(tmp_path / "whole").keys() == set()


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        build_sample(tmp_path / "file", SMALL)
