"""Map a function over items in threads: for work that reads, writes and hashes, which lets other threads run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from allears.engine.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, title: str, workers: int | None = None
) -> Iterator[Result]:
    """The result of each item, in their order, under a progress bar on stderr. What `function` raises ends it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers or cores())
    try:
        with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
            bar = progress.add_task(title, total=len(items))
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * (workers or cores()):
                    yield waiting.popleft().result()
                    progress.advance(bar)
            while waiting:
                yield waiting.popleft().result()
                progress.advance(bar)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
