"""Map a function over items in killable worker processes, with a journal so that a killed run goes on.

The workers are those of the chosen engine (`chosen`): processes of this machine, or of the nodes of a Ray cluster,
which share its file system. Order, journal and failures are the same; the journal is written here, by the caller.

The journal is one append-only JSONL file per step: a line holds an item's key and its result. An item whose key is in
the journal is not computed again, so the key must name everything the result depends on (content digest, parameters,
VERSION of the step, decoder versions).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from allears.engine.chosen import chosen
from allears.engine.cores import cores
from allears.engine.pool import Function, Pool
from allears.engine.processes import local_workers
from allears.engine.worker import WORKER_BYTES
from allears.errors import ConfigError
from allears.storage.files import storage_error, write_text

Item = TypeVar("Item")
PASSING = frozenset(  # not journalled
    ("changed", "failed", "memory", "not_fetched", "timeout", "unreadable", "worker_died")
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
        open_workers = partial(_workers, function, workers, len(dealt), worker_bytes, journal.parent)
        known |= _compute(open_workers, todo, dealt, key, journal, title, timeout_s)
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
    open_workers: Callable[[], AbstractContextManager[Pool]],
    todo: Sequence[Item],
    batches: Iterable[Sequence[Item]],
    key: Callable[[Item], str],
    journal: Path,
    title: str,
    timeout_s: float,
) -> dict[str, dict[str, Any]]:
    done: dict[str, dict[str, Any]] = {}
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("a") as log, _progress() as progress, open_workers() as pool:
            bar = progress.add_task(title, total=len(todo))
            for item, entry, keep in _schedule(pool, batches, timeout_s):
                done[key(item)] = entry
                if keep:
                    log.write(json.dumps({"key": key(item)} | entry, ensure_ascii=False) + "\n")
                    log.flush()
                progress.advance(bar)
    except OSError as error:
        raise storage_error(journal, error) from error
    return done


def _workers(
    function: Function, workers: int | None, batches: int, worker_bytes: int, folder: Path
) -> AbstractContextManager[Pool]:
    """Those of the chosen engine: no more than there are batches, as one more would only start."""
    engine = chosen()
    wanted = workers or engine.workers
    match engine.kind:
        case "processes":
            return local_workers(function, min(wanted or cores(), batches), worker_bytes)
        case "ray":
            try:
                from allears.engine.on_ray import ray_workers
            except ImportError as error:
                raise ConfigError(
                    f"engine.kind is ray, and Ray cannot be imported ({error}): pip install -c constraints.txt "
                    "'allears[ray]', here and on all nodes"
                ) from error
            return ray_workers(function, engine.address, wanted, batches, worker_bytes, folder)


def _schedule(
    pool: Pool, batches: Iterable[Sequence[Item]], timeout_s: float
) -> Iterator[tuple[Item, dict[str, Any], bool]]:
    """Keep the pool busy; yield (item, journal entry, whether it belongs into the journal)."""
    again: list[Sequence[Item]] = []  # single items of batches that failed
    waiting = iter(batches)
    while True:
        batch = again.pop() if again else next(waiting, None)
        if batch is not None:
            pool.deal(batch, timeout_s + len(batch) - 1)
        elif pool.idle:
            return
        if batch is None or pool.full:
            for done, settled in pool.settled():
                yield from ((done[place], entry, settled.keep) for place, entry in settled.entries.items())
                again += [[item] for place, item in enumerate(done) if place not in settled.entries]


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
