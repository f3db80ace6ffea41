"""Map a function over items in killable worker processes, with a journal so that a killed run goes on.

The journal is one append-only JSONL file per step: a line holds an item's key and its result. An item whose key is in
the journal is not computed again, so the key must name everything the result depends on (content digest, parameters,
VERSION of the step, decoder versions).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from allears.engine.cores import cores
from allears.errors import AllearsError, AudioError, PassingError
from allears.storage.files import storage_error, write_text

Item = TypeVar("Item")
LOOK_S = 2.0  # between looks whether the workers are still there
WORKER_BYTES = 2 << 30  # what a worker may allocate; pieces of some minutes take far less
PASSING = frozenset(  # not journalled
    ("changed", "failed", "memory", "not_fetched", "timeout", "unreadable", "worker_died")
)
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
    prepare: Callable[[Sequence[Item]], None] | None = None,
) -> Iterator[Outcome[Item]]:
    """Yield one Outcome an item, in the order of `items`.

    `function` runs in a worker process and returns something JSON-like; it must be importable (a module-level function
    or a functools.partial of one). A worker that dies or runs over `timeout_s` fails its own item only, and so does one
    that needs more than WORKER_BYTES. Failures of type AudioError are results of the data and are journalled; others (a
    killed worker, a full disk, PassingError) are not, so that a rerun tries them again. `prepare` is called first,
    here, with what is not in the journal; what it raises ends the run.
    """
    yield from map_batches(
        partial(_each, function), items, key=key, journal=journal, title=title, batches=_singly, workers=workers,
        timeout_s=timeout_s, prepare=prepare,
    )  # fmt: skip


def map_batches(
    function: Callable[[Sequence[Item]], Iterable[tuple[Item, Any]]],
    items: Sequence[Item],
    *,
    key: Callable[[Item], str],
    journal: Path,
    title: str,
    batches: Callable[[Sequence[Item]], Iterable[Sequence[Item]]],
    workers: int | None = None,
    timeout_s: float = 600.0,
    worker_bytes: int = WORKER_BYTES,
    prepare: Callable[[Sequence[Item]], None] | None = None,
) -> Iterator[Outcome[Item]]:
    """As `map_items`, for work that is cheaper together.

    `batches` deals what is to be done; `function` yields each item of a batch with its result or its AudioError, in any
    order. Each item is journalled by itself. A batch has `timeout_s`, and a second for each item after the first. When
    `function` raises, or its worker dies or runs out of time, what is left of the batch is tried item by item, so that
    one bad item costs itself alone. A worker may allocate `worker_bytes`: more than WORKER_BYTES only for what it holds
    beside recordings, which are untrusted, such as a model.
    """
    known = _read_journal(journal)
    todo = list({key(item): item for item in items if key(item) not in known}.values())
    if todo:
        if prepare is not None:
            prepare(todo)
        dealt = list(batches(todo))
        of_use = min(workers or cores(), len(dealt))  # one more would only start
        known |= _compute(function, todo, dealt, key, journal, title, of_use, timeout_s, worker_bytes)
    fresh = {key(item) for item in todo}
    for item in items:
        entry = known[key(item)]
        yield Outcome(item, entry.get("result"), entry.get("reason"), entry.get("message"), key(item) in fresh)


def _each(function: Callable[[Item], Any], batch: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
    for item in batch:
        yield item, function(item)


def _singly(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return ([item] for item in items)


def _compute(
    function: Callable[[Sequence[Item]], Iterable[tuple[Item, Any]]],
    todo: Sequence[Item],
    batches: Iterable[Sequence[Item]],
    key: Callable[[Item], str],
    journal: Path,
    title: str,
    workers: int,
    timeout_s: float,
    worker_bytes: int,
) -> dict[str, dict[str, Any]]:
    done: dict[str, dict[str, Any]] = {}
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with (
            journal.open("a") as log,
            _progress() as progress,
            ProcessPool(
                max_workers=workers,
                context=multiprocessing.get_context("forkserver"),
                initializer=_prepare_worker,
                initargs=[worker_bytes],
            ) as pool,
        ):
            bar = progress.add_task(title, total=len(todo))
            for item, entry, keep in _schedule(pool, partial(_run, function), batches, timeout_s, ahead=workers * 8):
                done[key(item)] = entry
                if keep:
                    log.write(json.dumps({"key": key(item)} | entry, ensure_ascii=False) + "\n")
                    log.flush()
                progress.advance(bar)
    except OSError as error:
        raise storage_error(journal, error) from error
    return done


def _run(
    function: Callable[[Sequence[Item]], Iterable[tuple[Item, Any]]], batch: Sequence[Item]
) -> dict[int, dict[str, Any]]:
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


def _prepare_worker(worker_bytes: int) -> None:
    """In a worker, before it imports anything: one thread a library, a limit of memory, and silence.

    There is a worker a core, so more threads only wait for each other (a matrix product costs 2.5 times the CPU time).
    Libraries in C write warnings about odd files to stderr; what matters comes back as an outcome.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    _, most = resource.getrlimit(resource.RLIMIT_DATA)  # writable memory: what is mapped from files is not counted
    bytes_ = worker_bytes if most == resource.RLIM_INFINITY else min(worker_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_, most))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _schedule(
    pool: ProcessPool,
    function: Callable[[Sequence[Item]], dict[int, dict[str, Any]]],
    batches: Iterable[Sequence[Item]],
    timeout_s: float,
    ahead: int,
) -> Iterator[tuple[Item, dict[str, Any], bool]]:
    """Keep at most `ahead` batches in flight; yield (item, journal entry, whether it belongs into the journal)."""
    pending: dict[Future[Any], Sequence[Item]] = {}
    again: list[Sequence[Item]] = []  # single items of batches that failed
    waiting = iter(batches)
    try:
        while True:
            batch = again.pop() if again else next(waiting, None)
            if batch is not None:
                try:
                    pending[pool.schedule(function, args=(batch,), timeout=timeout_s + len(batch) - 1)] = batch
                except RuntimeError as error:  # pebble's, once all workers are gone
                    raise AllearsError(NOBODY) from error
            elif not pending:
                return
            if batch is None or len(pending) >= ahead:
                for future in _finished(pool, pending):
                    done = pending.pop(future)
                    entries, keep = _entries(future, len(done), timeout_s)
                    yield from ((done[place], entry, keep) for place, entry in entries.items())
                    again += [[item] for place, item in enumerate(done) if place not in entries]
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


def _entries(future: Future[Any], items: int, timeout_s: float) -> tuple[dict[int, dict[str, Any]], bool]:
    """What a batch gave, by place, and whether it belongs into the journal. A batch of several items that failed gives
    nothing, a single item its failure.
    """
    try:
        return future.result(), True
    except AllearsError as error:
        if not isinstance(error, AudioError):
            raise
        failure, keep = {"reason": error.reason, "message": str(error)}, not isinstance(error, PassingError)
    except Exception as error:
        failure, keep = _failure(error, timeout_s), False
    return ({0: failure} if items == 1 else {}), keep


def _failure(error: Exception, timeout_s: float) -> dict[str, str]:
    match error:
        case TimeoutError():
            return {"reason": "timeout", "message": f"took longer than {timeout_s:g} s and was stopped"}
        case ProcessExpired():
            return {"reason": "worker_died", "message": f"its worker process died ({error})"}
        case OSError():
            return {"reason": "unreadable", "message": str(error)}
        case _:  # a decoder that nobody foresaw: one odd file must not end a run over millions
            return {"reason": "failed", "message": f"{type(error).__name__}: {error}"}


def forget(journal: Path, keys: Container[str]) -> None:
    """Take `keys` out of a journal: the next `map_items` computes them again."""
    forget_where(journal, lambda key, _: key in keys)


def forget_where(journal: Path, gone: Callable[[str, Mapping[str, Any]], bool]) -> None:
    """Take out of a journal what `gone(key, entry)` says; an entry has `result`, or `reason` and `message`."""
    if not journal.exists():
        return
    known = _read_journal(journal)
    kept = {key: entry for key, entry in known.items() if not gone(key, entry)}
    if len(kept) < len(known):
        write_text(journal, "".join(json.dumps({"key": k} | v, ensure_ascii=False) + "\n" for k, v in kept.items()))


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """What is journalled; a line cut by a kill or a full disk is dropped and cut off: appending starts on a new one."""
    if not path.exists():
        return {}
    known: dict[str, dict[str, Any]] = {}
    good = 0
    with path.open("rb") as log:
        for line in log:
            if not line.endswith(b"\n"):
                break
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
