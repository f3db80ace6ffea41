"""A command that is killed outright: its workers end with it, and the next one goes on where it stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from allears.engine.mapping import map_items

ITEMS = [f"item-{i:02d}" for i in range(40)]


def slow(item: str) -> str:
    """A tenth of a second of work; when it is begun is noted, where that is asked for."""
    if log := os.environ.get("NOTED_STARTS"):
        with Path(log).open("a") as file:
            file.write(f"{time.time()}\n")
    time.sleep(0.1)
    return item.upper()


def start(journal: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; from tests.faults.test_engine_killed import *\n"
        "if __name__ == '__main__':\n"
        "    list(map_items(slow, ITEMS, key=str, journal=Path(sys.argv[1]), title='slow', workers=2))\n"
    )
    script = journal.with_suffix(".py")
    script.write_text(f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{code}")
    return subprocess.Popen([sys.executable, str(script), str(journal)], stdout=subprocess.DEVNULL)


def wait_for_lines(journal: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not journal.exists() or len(journal.read_bytes().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigkill_loses_nothing_and_leaves_nobody(tmp_path: Path) -> None:
    journal = tmp_path / "slow.jsonl"
    process = start(journal)
    wait_for_lines(journal, 5)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive
    outcomes = list(map_items(slow, ITEMS, key=str, journal=journal, title="slow", workers=2))
    assert [outcome.result for outcome in outcomes] == [item.upper() for item in ITEMS]
    assert 5 <= sum(not outcome.fresh for outcome in outcomes) < len(ITEMS)


def test_workers_without_a_command_begin_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dealt to them ahead is the next command's: two would work on it."""
    log = tmp_path / "starts"
    monkeypatch.setenv("NOTED_STARTS", str(log))
    process = start(tmp_path / "slow.jsonl")
    wait_for_lines(log, 5)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = time.time()
    psutil.wait_procs(family, timeout=15)
    assert not [line for line in log.read_text().splitlines() if float(line) > killed]


def test_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    journal = tmp_path / "slow.jsonl"
    process = start(journal)
    wait_for_lines(journal, 5)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) != 0
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive
    assert len(journal.read_bytes().splitlines()) < len(ITEMS)


def test_workers_that_cannot_start_are_a_sentence_and_no_wait(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"  # each worker imports it, and would map in its turn
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pathlib import Path; from tests.faults.test_engine_killed import *\n"
        "items = [item + 20_000 * 'x' for item in ITEMS]\n"  # more than a pipe holds
        f"list(map_items(slow, items, key=str, journal=Path({str(tmp_path / 'j')!r}), title='slow', workers=2))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "AllearsError: the worker processes ended before they took up any work" in done.stderr
