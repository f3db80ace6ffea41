"""Several processes of one training on this machine, through torchrun: when one fails it ends the others."""

from __future__ import annotations

import os
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from allears.errors import TrainingError
from allears.process.orphan import PARENT


def share_out(spec: Path, processes: int) -> None:
    """Train `spec` in so many processes and return when all have finished; they die with this one.

    Raises TrainingError; what the first that failed said of itself lies beside the spec.
    """
    os.environ[PARENT] = str(os.getpid())
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(os.environ.get("OMP_NUM_THREADS", "1")) // processes))
    try:
        torchrun(["--standalone", f"--nproc-per-node={processes}", "--module", "allears.training.run", str(spec)])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = f"status {failure.exitcode}" if failure.exitcode >= 0 else failure.signal_name()
        raise TrainingError(
            f"process {rank} of {processes} ended with {how} and left no reason: most often memory ran out (lower the "
            "seconds of a batch), else somebody killed it. Run the same command again: it goes on from the last "
            "checkpoint"
        ) from error
