"""Map a function over items in killable worker processes, with a journal so that a killed run goes on.

The journal is one append-only JSONL file per step: a line holds an item's key and its result. An item whose key is in
the journal is not computed again, so the key must name everything the result depends on (content digest, parameters,
VERSION of the step, decoder versions).
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from allears.engine.cores import cores
from allears.errors import AllearsError, AudioError
from allears.storage.files import storage_error, write_text

Item = TypeVar("Item")
LOOK_S = 2.0  # between looks whether the workers are still there
NOBODY = (
    "the worker processes ended before they took up any work. A script that calls allears needs "
    "`if __name__ == '__main__':` around what it does, as each worker imports it; else memory may have run out: give "
    "the step fewer workers. Run the same command again: what was done is kept"
)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item]):
    """One item's result (JSON-like), or its failure as a reason code and a sentence. `fresh`: computed in this run."""

    item: Item
    result: Any = None
    reason: str | None = None
    message: str | None = None
    fresh: bool = False


def map_items(
    function: Callable[[Item], Any],
    items: Sequence[Item],
    *,
    key: Callable[[Item], str],
    journal: Path,
    title: str,
    workers: int | None = None,
    timeout_s: float = 600.0,
) -> Iterator[Outcome[Item]]:
    """Yield one Outcome an item, in the order of `items`.

    `function` runs in a worker process and returns something JSON-like; it must be importable (a module-level function
    or a functools.partial of one). A worker that dies or runs over `timeout_s` fails its own item only. Failures of
    type AudioError are results of the data and are journalled; others (a killed worker, a full disk) are not, so that
    a rerun tries them again.
    """
    known = _read_journal(journal)
    todo = [item for item in items if key(item) not in known]
    if todo:
        known |= _compute(function, todo, key, journal, title, workers or cores(), timeout_s)
    fresh = {key(item) for item in todo}
    for item in items:
        entry = known[key(item)]
        yield Outcome(item, entry.get("result"), entry.get("reason"), entry.get("message"), key(item) in fresh)


def _compute(
    function: Callable[[Item], Any],
    todo: Sequence[Item],
    key: Callable[[Item], str],
    journal: Path,
    title: str,
    workers: int,
    timeout_s: float,
) -> dict[str, dict[str, Any]]:
    done: dict[str, dict[str, Any]] = {}
    unique = {key(item): item for item in todo}
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with (
            journal.open("a") as log,
            _progress() as progress,
            ProcessPool(
                max_workers=workers, context=multiprocessing.get_context("forkserver"), initializer=_prepare_worker
            ) as pool,
        ):
            bar = progress.add_task(title, total=len(unique))
            for name, entry, keep in _schedule(pool, function, unique.items(), timeout_s, ahead=workers * 8):
                done[name] = entry
                if keep:
                    log.write(json.dumps({"key": name} | entry, ensure_ascii=False) + "\n")
                    log.flush()
                progress.advance(bar)
    except OSError as error:
        raise storage_error(journal, error) from error
    return done


def _prepare_worker() -> None:
    """In a worker, before it imports anything: one thread a library, and silence.

    There is a worker a core, so more threads only wait for each other (a matrix product costs 2.5 times the CPU time).
    Libraries in C write warnings about odd files to stderr; what matters comes back as an outcome.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _schedule(
    pool: ProcessPool,
    function: Callable[[Item], Any],
    work: Iterable[tuple[str, Item]],
    timeout_s: float,
    ahead: int,
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Keep at most `ahead` items in flight; yield (key, journal entry, whether it belongs into the journal)."""
    pending: dict[Future[Any], str] = {}
    try:
        for name, item in work:
            try:
                pending[pool.schedule(function, args=(item,), timeout=timeout_s)] = name
            except RuntimeError as error:  # pebble's, once all workers are gone
                raise AllearsError(NOBODY) from error
            if len(pending) >= ahead:
                for future in _finished(pool, pending):
                    yield _entry(future, pending.pop(future), timeout_s)
        while pending:
            for future in _finished(pool, pending):
                yield _entry(future, pending.pop(future), timeout_s)
    except BaseException:
        pool.stop()
        raise


def _finished(pool: ProcessPool, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
    """Those that are done, as soon as there is one. AllearsError when no worker is left to do them."""
    while True:
        finished, _ = wait(pending, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        done = {future for future in finished if not isinstance(future.exception(), BrokenProcessPool)}
        if done:
            return done
        if finished or not pool.active:
            raise AllearsError(NOBODY)


def _entry(future: Future[Any], name: str, timeout_s: float) -> tuple[str, dict[str, Any], bool]:
    try:
        return name, {"result": future.result()}, True
    except AudioError as error:
        return name, {"reason": error.reason, "message": str(error)}, True
    except TimeoutError:
        return name, {"reason": "timeout", "message": f"took longer than {timeout_s:g} s and was stopped"}, False
    except ProcessExpired as error:
        return name, {"reason": "worker_died", "message": f"its worker process died ({error})"}, False
    except AllearsError:
        raise
    except OSError as error:
        return name, {"reason": "unreadable", "message": str(error)}, False
    except Exception as error:  # a decoder that nobody foresaw: one odd file must not end a run over millions
        return name, {"reason": "failed", "message": f"{type(error).__name__}: {error}"}, False


def forget(journal: Path, keys: Container[str]) -> None:
    """Take `keys` out of a journal: the next `map_items` computes them again."""
    if journal.exists():
        kept = [{"key": key} | entry for key, entry in _read_journal(journal).items() if key not in keys]
        write_text(journal, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept))


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """What is journalled; a last line cut by a kill is dropped, and cut off so that appending starts on a new line."""
    if not path.exists():
        return {}
    known: dict[str, dict[str, Any]] = {}
    good = 0
    with path.open("rb") as log:
        for line in log:
            try:
                entry = json.loads(line)
                known[entry.pop("key")] = entry
            except (ValueError, KeyError):
                break
            good += len(line)
    if good < path.stat().st_size:
        os.truncate(path, good)
    return known


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True
    )
