"""A real Ray cluster of two nodes on this machine, each at a loopback address of its own. Nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from allears.engine.chosen import choose
from allears.params.engine import EngineParams
from tests.project import ROOT

QUICK = {  # a dead node is noticed in two seconds, not in twenty
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}
LIMIT_S = 20


class Nodes:
    """The head, to which commands connect, and a second node that can be lost."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._hosts = iter(f"127.{1 + os.getpid() % 250}.{1 + os.getpid() // 250 % 250}.{i}" for i in range(2, 250))
        self._cluster = Cluster(initialize_head=True, head_node_args=self._node(temp_dir=str(folder)))
        self.address: str = self._cluster.address
        self._other: Any = None

    def _node(self, **more: Any) -> dict[str, Any]:
        shared = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        return {**shared, "node_ip_address": next(self._hosts), **more}

    @property
    def engine(self) -> EngineParams:
        """What a configuration says to work here."""
        return EngineParams(kind="ray", address=self.address)

    def complete(self) -> None:
        """Add the second node where there is none."""
        if self._other is None:
            self._other = self._cluster.add_node(**self._node())

    def lose(self) -> None:
        """Kill the second node outright, as a machine that loses its power."""
        self._kill(self._other)
        self._other = None

    @contextlib.contextmanager
    def another(self, **environment: str) -> Iterator[None]:
        """A third node for a `with` block, with an environment of its own."""
        node = self._cluster.add_node(**self._node(env_vars=environment))
        try:
            yield
        finally:
            self._kill(node)

    def _kill(self, node: Any) -> None:
        raylet = _raylet(node)
        kill_all([raylet, *raylet.children(recursive=True)])
        self._cluster.worker_nodes.discard(node)

    def agents(self) -> list[psutil.Process]:
        """The processes that work for commands, on both nodes."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        found = [child for node in nodes for child in _raylet(node).children()]
        return [each for each in found if each.status() != psutil.STATUS_ZOMBIE and "ray::Agent" in each.cmdline()[0]]

    def started(self) -> int:
        """How many processes Ray has started for commands, on both nodes."""
        return len(list(self._folder.glob("session_2*/logs/python-core-worker-*.log")))

    def close(self) -> None:
        """End it in an orderly way."""
        self._cluster.shutdown()


def _raylet(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


@contextlib.contextmanager
def two_nodes() -> Iterator[Nodes]:
    """A cluster for a `with` block; whatever it started is killed after it."""
    import ray

    before = set(psutil.Process().children(recursive=True))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])  # the functions that tests map
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a socket's path may have no more than 107 bytes
    (folder / "ray").mkdir()  # where Ray notes the newest cluster; it makes only the folder of its own default
    given = {**QUICK, "PYTHONPATH": path, "RAY_TMPDIR": str(folder)}
    kept = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        nodes = Nodes(folder)
        nodes.complete()
        yield nodes
        ray.shutdown()
        nodes.close()
    finally:
        ray.shutdown()
        kill_all(set(psutil.Process().children(recursive=True)) - before)
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def working_on(engine: EngineParams) -> Iterator[None]:
    """What is mapped in a `with` block is done there."""
    choose(engine)
    try:
        yield
    finally:
        choose(EngineParams())


def kill_all(processes: Any) -> None:
    """SIGKILL, and wait until they are gone."""
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(alive, timeout=LIMIT_S)
    assert not left, left
