"""Small trainings side by side: one process a core, each with one thread.

A small model gains little from a second thread, and loses much where the cores are busy; two processes gain two. With
one thread each, results are the same on any number of cores. The processes are forks: what is in memory (features,
weights) is shared, so it must be there before. Not for a GPU, which a fork cannot use.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import TypeVar, cast

import torch

from allears.engine.cores import cores
from allears.errors import TrainingError

Task = TypeVar("Task")
Result = TypeVar("Result")
MOST = 8
_work: list[Callable[[int], object]] = []  # what forked processes do with the number of a task; nothing is pickled


def worker_count(asked: int | None, device: torch.device) -> int:
    """As many as asked for, else as cores that this process may use, at most 8; one on a GPU."""
    if device.type != "cpu" or not hasattr(os, "fork"):
        return 1
    return asked or min(cores(), MOST)


def side_by_side(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Yield `function(task)` for every task, as they finish; in order, and in this process, with one worker.

    The first exception of `function` ends all; a process that was killed is a TrainingError.
    """
    if min(workers, len(tasks)) <= 1:
        yield from map(function, tasks)
        return
    import_module("torch._dynamo")  # every optimiser imports it, for seconds: once, before the forks
    _work.append(lambda number: function(tasks[number]))
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        for future in as_completed([pool.submit(_call, number) for number in range(len(tasks))]):
            yield cast(Result, future.result())
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process of the grid was killed; most often memory ran out (lower finetune.workers or finetune.limits), "
            "else somebody killed it. Run the same command again: it goes on with the first missing training"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        _work.pop()


def _call(number: int) -> object:
    return _work[-1](number)


def _begin(parent: int) -> None:
    """Die with the parent (Linux), and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    torch.set_num_threads(1)
