"""Workers on the nodes of a Ray cluster. The only user of ray.

Each is an actor that takes one CPU and has one worker process (`agent`). Batches wait here and go to whoever is free,
so a node that dies costs the batches that it was at: they are dealt again, and Ray is asked for other actors. The nodes
share the file system: results come back here, and files are written by the workers where they would be written on one
machine.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Read by ray: no usage reports, no traceback of work that is ended because the run is, and minutes, not a quarter of an
# hour, until a cluster is given up.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")

import ray
from ray.exceptions import RayError, RayTaskError

from allears.engine.agent import Agent, Place, versions
from allears.engine.pool import Batch, Function, Settled
from allears.engine.worker import died
from allears.errors import AllearsError

AHEAD = 2  # batches in flight for each worker: one that it does, one that waits here
LOST = 3  # times that a batch may lose its node before it counts as the cause
LOOK_S = 2.0  # between looks whether there is any worker
TOLD_S = 10.0  # without one, until it is said …
START_S = 600.0  # … and until it is given up: machines may have to be started first
CONNECT_S = STOP_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Task:
    batch: Batch
    timeout_s: float
    lost: int = 0


class RayWorkers:
    """A Pool of agents on a cluster. `start` asks Ray for one more; it comes when a CPU is free."""

    def __init__(self, start: Callable[[], Any], workers: int) -> None:
        self._start = start
        self._most = workers * AHEAD
        self._starting: dict[Any, Any] = {}  # reference to what it will answer → agent
        self._running: dict[Any, tuple[Any, _Task]] = {}
        self._free: list[Any] = []
        self._waiting: deque[_Task] = deque()
        self._alone_since: float | None = time.monotonic()
        self._told = False
        for _ in range(workers):
            self._add()

    @property
    def full(self) -> bool:
        """As of Pool."""
        return len(self._waiting) + len(self._running) >= self._most

    @property
    def idle(self) -> bool:
        """As of Pool."""
        return not self._waiting and not self._running

    def deal(self, batch: Batch, timeout_s: float) -> None:
        """As of Pool."""
        self._waiting.append(_Task(batch, timeout_s))
        self._hand_out()

    def settled(self) -> list[tuple[Batch, Settled]]:
        """As of Pool."""
        done: list[tuple[Batch, Settled]] = []
        while not done:
            self._hand_out()
            references = [*self._starting, *self._running]
            ready, _ = ray.wait(references, num_returns=1, timeout=LOOK_S)
            if ready:  # and whatever else is
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
            for reference in ready:
                if reference in self._starting:
                    self._started(reference)
                elif (found := self._came(reference)) is not None:
                    done.append(found)
            self._look()
        return done

    def close(self) -> None:
        """End all agents and what they are at."""
        begun = [*self._free, *(agent for agent, _ in self._running.values())]
        ends = [agent.stop.remote() for agent in begun]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=STOP_S)
        for agent in [*begun, *self._starting.values()]:
            ray.kill(agent)

    def _add(self) -> None:
        agent = self._start()
        self._starting[agent.problem.remote()] = agent

    def _hand_out(self) -> None:
        while self._waiting and self._free:
            task, agent = self._waiting.popleft(), self._free.pop()
            reference = agent.run.remote(pickle.dumps(task.batch), len(task.batch), task.timeout_s)
            self._running[reference] = agent, task

    def _started(self, reference: Any) -> None:
        agent = self._starting.pop(reference)
        try:
            problem = ray.get(reference)
        except RayError as error:
            if isinstance(error, RayTaskError) or "creation task" in str(error):
                problem = (
                    f"a node cannot start a worker: {_last_line(error)}. Give all nodes the environment of this "
                    "command (pip install -c constraints.txt) and start Ray from it"
                )
            else:  # its node is gone
                self._add()
                return
        if problem is not None:
            raise AllearsError(f"Ray cluster: {problem}")
        self._free.append(agent)

    def _came(self, reference: Any) -> tuple[Batch, Settled] | None:
        agent, task = self._running.pop(reference)
        try:
            found = ray.get(reference)
        except RayError as error:
            ray.kill(agent)  # it may only be out of reach
            self._add()
            task.lost += 1
            if task.lost < LOST:
                self._waiting.appendleft(task)
                return None
            how = f"{LOST} times on the cluster: {_last_line(error)}"
            return task.batch, Settled({0: died(how)} if len(task.batch) == 1 else {}, keep=False)
        self._free.append(agent)
        if isinstance(found, AllearsError):
            raise found
        return task.batch, found

    def _look(self) -> None:
        """Whether there is any worker, and if not for how long."""
        if self._free or self._running:
            self._alone_since, self._told = None, False
            return
        self._alone_since = self._alone_since or time.monotonic()
        alone_s = time.monotonic() - self._alone_since
        if alone_s > START_S:
            raise AllearsError(
                f"the Ray cluster gave no worker in {START_S:g} s: {_processors()}. Others may use it: wait for them, "
                "or add nodes, then run the same command again: what was done is kept"
            )
        if alone_s > TOLD_S and not self._told:
            logger.info("waiting for a free CPU of the Ray cluster: %s", _processors())
            self._told = True


@contextmanager
def ray_workers(
    function: Function, address: str | None, workers: int | None, batches: int, worker_bytes: int, folder: Path
) -> Iterator[RayWorkers]:
    """`workers` (None: as many as the cluster has CPUs) for `function`, no more than `batches`.

    `folder` is one that the step writes into: nodes are asked whether they see it.
    """
    _connect(address)
    count = min(workers or max(1, int(ray.cluster_resources().get("CPU", 1))), batches)  # 0: an autoscaler's head
    mark = folder.absolute() / f".{secrets.token_hex(8)}.tmp"
    mark.touch()
    try:
        place = Place(str(Path.cwd()), str(mark), versions())
        pickled = ray.put(pickle.dumps(function))
        start = partial(ray.remote(num_cpus=1, max_concurrency=2)(Agent).remote, pickled, worker_bytes, place)
        with closing(RayWorkers(start, count)) as pool:
            yield pool
    finally:
        mark.unlink(missing_ok=True)


def _connect(address: str | None) -> None:
    """Once a process; Ray itself ends the connection with it."""
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        if address != "auto":  # Ray would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_S).close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise AllearsError(
            f"engine.kind is ray, and no Ray cluster answers at {address} ({_last_line(error)}). Start one "
            "(`ray start --head` here, `ray start --address=HOST:PORT` on each other node), name its HOST:PORT in "
            "engine.address, or work without: engine.kind=processes"
        ) from error


def _processors() -> str:
    all_, free = ray.cluster_resources().get("CPU", 0), ray.available_resources().get("CPU", 0)
    return f"{free:g} of its {all_:g} CPUs are free"


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".")
