"""Several processes of one training on this machine, through torchrun: when one fails it ends the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import main as torchrun

from allears.errors import PeerLostError, TrainingError
from allears.process.orphan import PARENT
from allears.process.spec_file import ERROR_FILE
from allears.storage.files import read_json


def share_out(spec: Path, processes: int) -> None:
    """Train `spec` in so many processes and return when all have finished; they die with this one.

    Raises TrainingError with the reason: that of the process that failed first, which lies beside the spec, or how it
    was killed.
    """
    os.environ[PARENT] = str(os.getpid())
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(os.environ.get("OMP_NUM_THREADS", "1")) // processes))
    try:
        torchrun(["--standalone", f"--nproc-per-node={processes}", "--module", "allears.training.run", str(spec)])
    except ChildFailedError as error:
        rank, failure = _first_cause(error)
        told = spec.parent / ERROR_FILE
        if failure.exitcode >= 0 and told.exists():
            raise PeerLostError(str(read_json(told)["error"])) from error
        how = f"status {failure.exitcode}" if failure.exitcode >= 0 else failure.signal_name()
        raise TrainingError(
            f"process {rank} of {processes} ended with {how} and left no reason: most often memory ran out (lower the "
            "seconds of a batch), else somebody killed it. Run the same command again: it goes on from the last "
            "checkpoint"
        ) from error


def _first_cause(error: ChildFailedError) -> tuple[int, ProcessFailure]:
    """Return the failure that caused the others: a process that was killed, else one that gave its reason, rather than
    those that torchrun ended then.
    """
    failures = list(error.failures.items())
    killed = [each for each in failures if each[1].exitcode < 0 and each[1].exitcode != -signal.SIGTERM]
    reasoned = [each for each in failures if each[1].exitcode >= 0]
    return (killed or reasoned or [error.get_first_failure()])[0]
