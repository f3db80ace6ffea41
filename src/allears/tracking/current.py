"""The run that this process is in, for the nodes: everything here does nothing when no run is tracked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allears.tracking.run import TrackedRun

EVENTS = "events.jsonl"
_stack: list[TrackedRun] = []  # the command's run, then nested ones; one per process, as Kedro runs one session


def current() -> TrackedRun | None:
    """The innermost open run."""
    return _stack[-1] if _stack else None


@contextmanager
def entered(run: TrackedRun) -> Iterator[TrackedRun]:
    """Make `run` the current one for the body."""
    _stack.append(run)
    try:
        yield run
    finally:
        _stack.remove(run)


@contextmanager
def child_run(name: str, folder: Path) -> Iterator[TrackedRun | None]:
    """A nested run for a training in `folder`: its `events.jsonl` is forwarded while it grows, metrics against steps
    and hours heard. An exception ends it as FAILED, Ctrl-C as KILLED.
    """
    parent = current()
    if parent is None:
        yield None
        return
    run = parent.child(name)
    run.follow(folder / EVENTS)
    try:
        with entered(run):
            yield run
    except BaseException as error:
        run.unfollow(folder / EVENTS)
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.unfollow(folder / EVENTS)
    if (folder / EVENTS).exists():
        run.artifact(folder / EVENTS, "tables")
    run.end("FINISHED")
