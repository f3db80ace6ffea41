"""Workers that are processes of this machine, each killable by itself."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

from pebble import ProcessPool

from allears.engine.pool import Batch, Function, Settled
from allears.engine.worker import prepare_worker, run_batch, settle
from allears.errors import AllearsError

LOOK_S = 2.0  # between looks whether the workers are still there
AHEAD = 4  # batches in flight for each worker: what a killed command may have to do again
NOBODY = (
    "the worker processes ended before they took up any work. A script that calls allears needs "
    "`if __name__ == '__main__':` around what it does, as each worker imports it; else memory may have run out: give "
    "the step fewer workers. Run the same command again: what was done is kept"
)


class Processes:
    """A Pool of local worker processes."""

    def __init__(self, pool: ProcessPool, function: Function, workers: int) -> None:
        self._pool = pool
        self._work = partial(run_batch, function)
        self._most = workers * AHEAD
        self._dealt: dict[Future[Any], tuple[Batch, float]] = {}

    @property
    def full(self) -> bool:
        """As of Pool."""
        return len(self._dealt) >= self._most

    @property
    def idle(self) -> bool:
        """As of Pool."""
        return not self._dealt

    def deal(self, batch: Batch, timeout_s: float) -> None:
        """As of Pool."""
        self._dealt[schedule(self._pool, self._work, batch, timeout_s)] = batch, timeout_s

    def settled(self) -> Iterator[tuple[Batch, Settled]]:
        """As of Pool."""
        for future in finished(self._pool, self._dealt):
            batch, timeout_s = self._dealt.pop(future)
            yield batch, settle(future, len(batch), timeout_s)


@contextmanager
def local_workers(function: Function, workers: int, worker_bytes: int) -> Iterator[Processes]:
    """So many processes for `function`; an exception ends them at once."""
    with worker_processes(workers, worker_bytes) as pool:
        try:
            yield Processes(pool, function, workers)
        except BaseException:
            pool.stop()
            raise


def worker_processes(workers: int, worker_bytes: int) -> ProcessPool:
    """Processes that start clean: nothing of this one's memory, threads and open files is in them."""
    return ProcessPool(
        max_workers=workers,
        context=multiprocessing.get_context("forkserver"),
        initializer=prepare_worker,
        initargs=[worker_bytes],
    )


def schedule(pool: ProcessPool, work: Any, batch: Any, timeout_s: float) -> Future[Any]:
    """Have `work(batch)` done. AllearsError when no worker is left."""
    try:
        future: Future[Any] = pool.schedule(work, args=(batch,), timeout=timeout_s)
    except RuntimeError as error:  # pebble's, once all workers are gone
        raise AllearsError(NOBODY) from error
    return future


def finished(pool: ProcessPool, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
    """Those that are done, as soon as there is one. AllearsError when no worker is left to do them."""
    while True:
        ended, _ = wait(pending, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        done = {future for future in ended if not isinstance(future.exception(), BrokenProcessPool)}
        if done:
            return done
        if ended or not pool.active:
            raise AllearsError(NOBODY)
