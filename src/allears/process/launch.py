"""Start a training as a child process, and wait for it.

The child has a process group of its own and dies with this process. What it prints goes straight through, so that its
progress shows. A fresh process keeps torch's threads and memory out of the command that runs the pipelines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from allears.errors import StorageError, TrainingError
from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_pretrain import PretrainSpec
from allears.params.spec_probe import ProbeSpec
from allears.process.orphan import PARENT
from allears.process.spec_file import ERROR_FILE, SPEC_FILE, forget_errors, write_spec
from allears.storage.files import read_json

GRACE_S = 10.0  # from asking the child to stop to killing it


def launch(spec: PretrainSpec | ProbeSpec | FinetuneSpec, folder: Path) -> None:
    """Run `spec` in a child and return when it has finished; its files lie in `folder`.

    Raises TrainingError with the child's own sentence when it fails. Ctrl-C stops the child first.
    """
    forget_errors(folder)
    write_spec(folder / SPEC_FILE, spec)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "allears.training.run", str(folder / SPEC_FILE)]
    child = subprocess.Popen(command, env=_environment(), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = child.wait()
    except BaseException:
        _stop(child)
        raise
    if status:
        raise TrainingError(_why(spec.task, folder, status))


def tuning() -> dict[str, str]:
    """Return environment variables for a training's threads and memory; each may be set otherwise from outside.

    One thread per process: a second one makes a small model 1.4 times as fast on two free cores, and almost four times
    slower where other work takes one (`tests/benchmark/bench_processes.py`; RESULTS.md has the table). More threads,
    where they are set, spin for some 50 us when they wait, and then sleep (libgomp by itself: milliseconds).

    Memory of activations is kept for the next update (glibc; by itself it gives everything over 128 KiB back and gets
    it anew, zeroed page by page): the front end takes half the time, a whole update 4 % less.
    """
    return {
        "OMP_NUM_THREADS": "1",
        "GOMP_SPINCOUNT": "10000",
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    }


def _environment() -> dict[str, str]:
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return tuning() | os.environ | quiet | {PARENT: str(os.getpid())}


def _stop(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
            return


def _why(task: str, folder: Path, status: int) -> str:
    """The sentence for a child that did not end well."""
    with suppress(StorageError):
        return str(read_json(folder / ERROR_FILE)["error"])
    if status in (-signal.SIGKILL, -signal.SIGABRT):  # C++ aborts where it finds no memory for an error
        return (
            f"the {task} process was killed; most often memory ran out (lower the seconds of a batch), else somebody "
            "killed it. Run the same command again: it goes on from the last checkpoint"
        )
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return (
        f"the {task} process ended {how} and left no reason (look at what it printed above). Run the same command "
        "again: it goes on from the last checkpoint"
    )
