"""What a worker process does with a batch, and what becomes of it: the same on every engine."""

from __future__ import annotations

import os
import resource
import sys
from concurrent.futures import Future
from typing import Any

from pebble import ProcessExpired

from allears.engine.pool import Batch, Function, Settled
from allears.errors import AllearsError, AudioError, PassingError

WORKER_BYTES = 2 << 30  # what a worker may allocate; pieces of some minutes take far less


def prepare_worker(worker_bytes: int) -> None:
    """In a worker, before it imports anything: one thread a library, a limit of memory, and silence.

    There is a worker a core, so more threads only wait for each other (a matrix product costs 2.5 times the CPU time).
    Each worker imports the script that was run, and NumPy with it perhaps: that is too late for a variable.
    Libraries in C write warnings about odd files to stderr; what matters comes back as an outcome.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)  # writable memory: what is mapped from files is not counted
    bytes_ = worker_bytes if most == resource.RLIM_INFINITY else min(worker_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_, most))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def run_batch(function: Function, batch: Batch) -> dict[int, dict[str, Any]]:
    """In a worker: place in the batch → result; of a batch of several items what came before an exception."""
    place = {id(item): number for number, item in enumerate(batch)}
    done: dict[int, dict[str, Any]] = {}
    try:
        for item, result in function(batch):
            done[place[id(item)]] = _entry(result)
    except MemoryError as error:
        if len(batch) == 1:
            most, _ = resource.getrlimit(resource.RLIMIT_DATA)
            text = f"it needs more than the {most >> 20} MB that a worker may use ({error})"
            raise PassingError("memory", text) from None  # with more workers, or after other clips, it may fit
    except Exception:
        if len(batch) == 1:
            raise
    else:
        if len(batch) == 1 and not done:  # it would be tried again for ever
            raise RuntimeError(f"{function} gave no result for {batch[0]}")
    return done


def _entry(result: Any) -> dict[str, Any]:
    """What is journalled of a result. Raises PassingError, which is not."""
    if isinstance(result, PassingError):
        raise result
    if isinstance(result, AudioError):
        return {"reason": result.reason, "message": str(result)}
    return {"result": result}


def settle(future: Future[dict[int, dict[str, Any]]], items: int, timeout_s: float) -> Settled:
    """What a batch of so many items gave. One of several items that failed gives nothing, a single item its failure.

    Raises AllearsError when the run is wrong.
    """
    try:
        return Settled(future.result(), keep=True)
    except AllearsError as error:
        if not isinstance(error, AudioError):
            raise
        failure, keep = {"reason": error.reason, "message": str(error)}, not isinstance(error, PassingError)
    except Exception as error:
        failure, keep = _failure(error, timeout_s), False
    return Settled({0: failure} if items == 1 else {}, keep)


def _failure(error: Exception, timeout_s: float) -> dict[str, str]:
    match error:
        case TimeoutError():
            return {"reason": "timeout", "message": f"took longer than {timeout_s:g} s and was stopped"}
        case ProcessExpired():
            return died(str(error))
        case OSError():
            return {"reason": "unreadable", "message": str(error)}
        case _:  # a decoder that nobody foresaw: one odd file must not end a run over millions
            return {"reason": "failed", "message": f"{type(error).__name__}: {error}"}


def died(how: str) -> dict[str, str]:
    """The failure of an item whose worker was killed."""
    return {"reason": "worker_died", "message": f"its worker process died ({how})"}
