"""One training in a process of its own: `python -m allears.training.run SPEC.json`.

A pretraining of several processes is started so too: this one then runs torchrun, and torchrun the others. On the nodes
of a cluster torchrun comes first: `torchrun --nnodes 2 --nproc-per-node 8 … -m allears.training.run SPEC.json`.

Works without kedro, mlflow, pandera and pandas, so the same file runs on a cluster node. What it imports at the top is
light: the death of the parent must be watched for before torch is loaded.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from allears.errors import AllearsError, PeerLostError, StorageError, is_memory_error
from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_pretrain import PretrainSpec
from allears.params.spec_probe import ProbeSpec
from allears.process.orphan import die_with_parent
from allears.process.spec_file import ERROR_FILE, TRACE_FILE, enter_project, read_spec
from allears.storage.files import read_json, storage_error, write_json

# What to lower where no part of a batch can be tried: in a reader thread, the optimiser, several ranks.
MEMORY = {
    "pretrain": (
        "lower pretrain.batch.seconds, and raise pretrain.batch.micro_batches by as much for the same audio per "
        "update, or lower pretrain.reader_threads"
    ),
    "probe": "lower pretrain.probe.limits or pretrain.probe.workers",
    "finetune": "lower finetune.batch_clips, finetune.limits or finetune.workers",
}


def main(arguments: list[str]) -> int:
    """Run the spec named on the command line. Returns the exit status: 0, or 1 with a sentence in `error.json`."""
    die_with_parent()
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m allears.training.run SPEC.json\n")
        return 2
    path = Path(arguments[0]).absolute()
    task = ""
    try:
        spec = read_spec(path)
        task = spec.task
        enter_project(path, spec)
        if spec.task == "pretrain" and spec.pretrain.processes > 1 and "RANK" not in os.environ:
            from allears.process.several import share_out

            share_out(path, spec.pretrain.processes)
        else:
            dispatch(spec)
    except Exception as error:
        return _failed(path.parent, error, task)
    return 0


def dispatch(spec: PretrainSpec | ProbeSpec | FinetuneSpec) -> None:
    """Import the task that `spec` names, and run it."""
    match spec.task:
        case "pretrain":
            from allears.training import pretrain

            pretrain.run(spec)
        case "probe":
            from allears.downstream import probe

            probe.run(spec)
        case "finetune":
            from allears.downstream import finetune

            finetune.run(spec)


def sentence(error: Exception, folder: Path, task: str) -> str:
    """Return the error as people should read it."""
    if isinstance(error, AllearsError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return str(storage_error(Path(error.filename or folder), error))
    if is_memory_error(error):
        return f"memory ran out, on this machine or its GPU; {MEMORY.get(task, 'use a larger machine')}"
    return f"{type(error).__name__}: {error} (a fault in allears: {folder / TRACE_FILE} has the details)"


def _failed(folder: Path, error: Exception, task: str) -> int:
    words = sentence(error, folder, task)
    trace = "".join(traceback.format_exception(error))
    for one in (error, error.__cause__, error.__context__):  # what they hold open keeps its space on a full disk
        if one is not None:
            traceback.clear_frames(one.__traceback__)
    with suppress(OSError, StorageError):  # a folder that is full or read-only: standard error has to do
        if not _knows_why(folder, error):
            write_json(folder / ERROR_FILE, {"error": words, "kind": type(error).__name__})
            (folder / TRACE_FILE).write_text(trace)
    sys.stderr.write(f"{words}\n")
    return 1


def _knows_why(folder: Path, error: Exception) -> bool:
    """Whether the reason in `folder` is of the process that failed first, and `error` of one that lost it."""
    if not (folder / ERROR_FILE).exists():
        return False
    return isinstance(error, PeerLostError) or read_json(folder / ERROR_FILE)["kind"] != PeerLostError.__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
