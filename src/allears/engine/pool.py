"""What the engine asks of workers, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Batch = Sequence[Any]
Function = Callable[[Batch], Iterable[tuple[Any, Any]]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a batch gave: journal entries by place in it, and whether they belong into the journal.

    A place without an entry is to be tried by itself.
    """

    entries: dict[int, dict[str, Any]]
    keep: bool


class Pool(Protocol):
    """Workers that are dealt batches of one function."""

    @property
    def full(self) -> bool:
        """Whether enough is in flight to keep all workers busy: more would only take memory."""

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""

    def deal(self, batch: Batch, timeout_s: float) -> None:
        """Have a batch done; the time counts from when a worker takes it up."""

    def settled(self) -> Iterable[tuple[Batch, Settled]]:
        """Wait until something is done: at least one batch with what it gave, in the order in which they ended.

        Raises AllearsError: the function's own, when the run is wrong, or when no worker is left.
        """
