"""Trainings as the processes that they are, to be killed: the command that launches, and its child that trains."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from allears.params.spec import AnySpec
from allears.process.spec_file import write_spec

LIMIT_S = 180
# The command that a pipeline is: it launches, and waits.
PARENT = """
import sys
from pathlib import Path
from allears.process.spec_file import read_spec
from allears.process.launch import launch
launch(read_spec(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def start(spec: AnySpec, **env: str) -> subprocess.Popen[bytes]:
    spec.folder.mkdir(parents=True, exist_ok=True)
    path = spec.folder.parent / f"{spec.folder.name}.json"
    write_spec(path, spec)
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path), str(spec.folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def begun(command: list[str], mark: str, folder: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A command in a process group of its own, in `folder`; returns once it has said `mark`."""
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == mark:
            return process
    raise AssertionError(f"{command} did not start")


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: str, condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.02)
