import subprocess
import sys
from pathlib import Path

import pytest

from allears.errors import LockedError
from allears.storage.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from allears.storage.lock import locked
with locked(Path(sys.argv[1]), "kedro run"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_it_and_a_killed_holder_frees_it(tmp_path: Path):
    path = tmp_path / "corpus" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=rf"{holder.pid}.*kedro run.*nothing was changed"), locked(path, "other"):
        pass
    holder.kill()
    holder.wait()
    with locked(path, "again"):
        assert "again" in path.read_text()
