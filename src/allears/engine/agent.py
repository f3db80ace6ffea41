"""What runs on a node of a cluster: a process that has one worker process, with the limits that workers have here.

Free of Ray, whose actor it is made by `on_ray`. The worker is a process of its own, so that its death, its time-out
and its limit of memory are what they are on one machine, and cost the node nothing.
"""

from __future__ import annotations

import os
import pickle
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from allears.engine.pool import Batch, Function, Settled
from allears.engine.processes import finished, schedule, worker_processes
from allears.engine.worker import run_batch, settle
from allears.errors import AllearsError

PACKAGE = "allears"


@dataclass(frozen=True, slots=True)
class Place:
    """What a node must have in common with the command: its working directory, a file in it, and `versions()`."""

    folder: str
    mark: str
    versions: Mapping[str, str]

    def problem(self) -> str | None:
        """Why this machine cannot do the work, as a sentence; None when it can. Goes to the folder."""
        node = platform.node()
        try:
            os.chdir(self.folder)
        except OSError as error:
            return f"node {node} cannot enter {self.folder} ({error.strerror}): {_SHARED}"
        if not Path(self.mark).exists():
            return f"node {node} has a {self.folder} of its own, in which {self.mark} is missing: {_SHARED}"
        found = versions()
        for name, expected in self.versions.items():
            if found.get(name) != expected:
                return (
                    f"node {node} has {name} {found.get(name, 'not at all')}, expected {expected} as here: outputs "
                    "would differ; give all nodes the same environment (pip install -c constraints.txt) and start Ray "
                    "from it"
                )
        return None


_SHARED = "the nodes of a cluster must share the file system; run from a folder that all of them see under this path"


def versions() -> dict[str, str]:
    """Name → version of what decides over the bytes: the machine's type, Python, allears and all that it depends on."""
    found = {"a processor of type": platform.machine(), "Python": platform.python_version()}
    try:
        names = [PACKAGE] + [
            re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires(PACKAGE) or [] if "extra ==" not in line
        ]
        return found | {name: version(name) for name in names}
    except PackageNotFoundError:
        return found


class Agent:
    """One worker on a node, for one function (pickled)."""

    def __init__(self, function: bytes, worker_bytes: int, place: Place) -> None:
        main = sys.modules["__main__"]  # Ray's: each worker process would import it before our function
        if hasattr(main, "__file__"):
            del main.__file__
        self._function = function
        self._place = place
        self._pool = worker_processes(1, worker_bytes)

    def problem(self) -> str | None:
        """As of Place. To be asked before any batch is given."""
        return self._place.problem()

    def run(self, batch: bytes, items: int, timeout_s: float) -> Settled | AllearsError:
        """What a batch gave (pickled, of so many items), or the error that ends the run."""
        future = schedule(self._pool, run_sent, Sent(self._function, batch), timeout_s)
        finished(self._pool, [future])
        try:
            return settle(future, items, timeout_s)
        except AllearsError as error:
            return error

    def stop(self) -> None:
        """End the worker at once."""
        self._pool.stop()
        self._pool.join()


class Sent:
    """A pickled function and batch on their way through this process, which has no use for what they import.

    To a worker they come as what they are, before its time begins: importing may take longer than a clip.
    """

    def __init__(self, function: bytes, batch: bytes) -> None:
        self._parts = function, batch

    def __reduce__(self) -> tuple[Any, tuple[bytes, bytes]]:
        return received, self._parts


def received(function: bytes, batch: bytes) -> tuple[Function, Batch] | AllearsError:
    """In the worker: what was sent, or why it cannot be had here."""
    try:
        return pickle.loads(function), pickle.loads(batch)  # noqa: S301  from the command itself
    except (AttributeError, ImportError) as error:
        return AllearsError(
            f"node {platform.node()} cannot import what it is to do ({error}): it must lie in a module of a package "
            "that all nodes have, not in the script itself"
        )


def run_sent(work: tuple[Function, Batch] | AllearsError) -> dict[int, dict[str, Any]]:
    """In the worker: as `run_batch`."""
    if isinstance(work, AllearsError):
        raise work
    return run_batch(*work)
